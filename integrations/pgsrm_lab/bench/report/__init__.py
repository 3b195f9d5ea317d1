"""A result in the terminal, as an HTML page and as a page of the documentation."""
