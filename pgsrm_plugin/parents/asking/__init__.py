"""Asking a parent: prompts, plans, runs, and their progress."""
