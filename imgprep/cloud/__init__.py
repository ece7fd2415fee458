"""The two clients: OSS and Image Search."""
