"""Draw: subject regions, their store, their exchange formats, suggestions, and the annotator."""
