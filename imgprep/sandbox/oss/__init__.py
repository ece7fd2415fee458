"""The OSS side of the sandbox."""
