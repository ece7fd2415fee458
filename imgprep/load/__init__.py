"""Load: a shop's export becomes the catalogue, one row per image of a product."""
