"""One image: where it is stored, its kind, its metadata, its upright frame, its thumbnail."""
