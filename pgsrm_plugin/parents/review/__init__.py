"""What a parent's answers are worth."""
