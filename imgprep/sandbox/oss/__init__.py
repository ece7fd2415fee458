"""The sandbox's OSS: wire protocol, operations, and objects on disk."""
