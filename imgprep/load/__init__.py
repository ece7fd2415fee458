"""Load: a shop's export → the catalogue."""
