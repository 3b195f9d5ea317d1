"""Embeddings kept: in memory, on disk, for one batch."""
