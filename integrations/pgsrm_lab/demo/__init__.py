"""The demos: a child learns from its parent's answers, and one page compares what it learned.

``child``, ``display`` and ``one_run`` are common to several; ``lightning`` compares two rewards, ``real`` does with a
pretrained child, ``verl`` compares two trainers, ``explain`` three stages.
"""
