"""The demo shop in a sandbox: one batch from export to report, a history of weekly batches, and notebook inputs."""
