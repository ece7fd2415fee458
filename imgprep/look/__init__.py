"""Inspect images for facts, check rules for findings, and match files to products."""
