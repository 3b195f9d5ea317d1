"""``pgsrm audit``."""
