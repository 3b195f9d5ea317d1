"""OpenAI-compatible embedding endpoints."""
