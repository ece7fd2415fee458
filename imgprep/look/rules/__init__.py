"""The service's rules, and the check that applies them to every row and image."""
