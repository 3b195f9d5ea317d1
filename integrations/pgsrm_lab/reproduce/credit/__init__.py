"""What token credit and the policy's own likelihood add to a semantic reward."""
