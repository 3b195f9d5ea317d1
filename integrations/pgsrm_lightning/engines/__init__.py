"""What draws answers: transformers with the policy itself, vLLM with a copy of its weights."""
