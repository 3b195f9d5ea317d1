"""``pgsrm parent``: reference answers, asked for once and kept."""
