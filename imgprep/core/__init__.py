"""What every step needs: errors, fields, findings, frames, regions, files, processes, network, settings."""
