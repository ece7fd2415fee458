"""A task's error report: from its bytes to the outcome of every line."""
