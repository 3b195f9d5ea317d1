"""Answers, and the store that keeps them."""
