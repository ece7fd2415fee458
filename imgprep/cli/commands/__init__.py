"""The commands: each is a function from options to an exit code. Their help is in `imgprep.cli.parser`."""
