"""Answers that were had elsewhere, taken over into a store."""
