"""OpenAI-compatible chat endpoints as a parent."""
