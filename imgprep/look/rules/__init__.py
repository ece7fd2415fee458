"""The rules of the service, and the check that applies them to every row and image."""
