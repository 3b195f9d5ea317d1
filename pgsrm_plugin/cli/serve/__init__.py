"""``pgsrm serve``."""
