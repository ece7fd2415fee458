"""The commands: one function each, options in, exit code out. Their help is in `imgprep.cli.parser`."""
