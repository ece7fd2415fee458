"""The sandbox: a strict local server that speaks the protocols of OSS and Image Search."""
