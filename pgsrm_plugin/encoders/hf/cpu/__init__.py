"""The CPU engine of the hf encoder."""
