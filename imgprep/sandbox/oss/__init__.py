"""OSS as the sandbox serves it: wire protocol, operations, objects on disk."""
