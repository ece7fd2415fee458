"""The error report of a task: from its bytes to the outcome of every line."""
