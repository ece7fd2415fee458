"""The `imgprep` command: parse arguments, call the library, print results."""
