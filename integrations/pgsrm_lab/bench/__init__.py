"""``pgsrm bench``: the encoder engine against what one would use without it, in one run on one workload.

``workload`` makes the pairs, ``systems`` is what is compared, ``measure`` times the systems in turn and measures what a
time does not say, ``benchmark`` is one run, ``result`` the object that it writes, ``report`` shows it.
"""
