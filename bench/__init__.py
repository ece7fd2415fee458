"""What is fast, measured beside what a user would use instead, in the same run."""
