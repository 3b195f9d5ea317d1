"""``pgsrm baselines``."""
