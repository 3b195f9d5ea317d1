"""``pgsrm serve``: one encoder for every rank, job and stack, over HTTP (extra ``serve``).

``dialects`` says what each stack asks and how it is answered, ``service`` scores, ``asgi`` is HTTP, ``process`` the
process: ports, signals, and the drain.
"""
