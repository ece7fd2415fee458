"""The demo shop on a sandbox: one batch, and its weeks."""
