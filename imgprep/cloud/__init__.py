"""Clients for OSS and Image Search."""
