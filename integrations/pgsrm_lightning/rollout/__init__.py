"""What the policy samples in one step, scored."""
