"""``pgsrm bench``: the encoder engine against what one would use without it, in one run on one workload.

``workload`` makes the pairs, ``bars`` and ``tuned`` what is compared, ``rounds`` times them in turn, ``roofline``,
``accuracy``, ``ranking``, ``streaming`` and ``repeats`` measure what a time does not say, ``run`` puts the result
together, ``docs`` and ``page`` show it.
"""
