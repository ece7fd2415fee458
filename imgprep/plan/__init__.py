"""Plan: compare the wanted state with the known state to make a batch."""
