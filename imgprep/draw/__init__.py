"""Draw: the store of subject regions, exchange formats, suggestions, and the annotator."""
