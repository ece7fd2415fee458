"""Load: turn a shop's export into the catalogue, with one row per image of a product."""
