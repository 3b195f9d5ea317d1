"""The demos: a tiny child learns from its parent's answers."""
