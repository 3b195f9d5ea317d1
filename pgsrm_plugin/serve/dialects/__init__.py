"""What each stack asks, and how it is answered: one file a stack."""
