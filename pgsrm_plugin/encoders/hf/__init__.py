"""Sentence-transformers models, run by this package's own engines."""
