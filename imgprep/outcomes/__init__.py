"""Reconcile: causes and tallies across runs, and what to do next."""
