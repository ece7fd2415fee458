"""Convert increment.meta between text and frame."""
