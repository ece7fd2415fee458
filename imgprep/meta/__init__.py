"""increment.meta: text ↔ frame."""
