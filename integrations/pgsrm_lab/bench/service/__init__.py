"""``pgsrm bench serve``: the service under load, beside the engine in this process; and killed under a client."""
