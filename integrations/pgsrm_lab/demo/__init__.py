"""The demos: a tiny child learns colour mixing from its parent's answers, and one page compares what it learned.

``child`` and ``display`` are common to both; ``lightning`` compares two rewards, ``verl`` two trainers.
"""
