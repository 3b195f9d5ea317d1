"""What the policy itself says of tokens, and what is asked of it: how probable its reasoning makes a reference, say."""
