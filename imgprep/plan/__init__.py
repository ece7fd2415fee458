"""Plan: wanted state against known state → a batch."""
