"""Generating references with a parent: prompts, plans, runs, and their progress."""
