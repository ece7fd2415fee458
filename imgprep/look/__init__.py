"""Look: images → facts, rules → findings, files → products."""
