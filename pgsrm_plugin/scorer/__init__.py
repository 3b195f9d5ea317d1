"""One callable for every stack: rows in, numbers out, in this process or from a service."""
