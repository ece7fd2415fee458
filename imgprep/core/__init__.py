"""Shared foundations: errors, fields, findings, frames, regions, files, processes, network, settings."""
