"""Reconcile: causes of failure, tallies across runs, and the next steps."""
