"""Rows: what they hold, and the files they come from and go to."""
