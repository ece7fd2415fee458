"""One image: its storage, format, metadata, upright frame and thumbnail."""
