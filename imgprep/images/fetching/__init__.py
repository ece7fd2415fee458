"""Images that an export names by URL → files: what they are called, how they are asked for, what went wrong."""
