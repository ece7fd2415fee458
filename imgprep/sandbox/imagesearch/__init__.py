"""The Image Search side of the sandbox."""
