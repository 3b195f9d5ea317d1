"""Sentence-transformers models on vLLM's pooling runner."""
