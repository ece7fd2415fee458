"""The `imgprep` command: parses, calls, prints."""
