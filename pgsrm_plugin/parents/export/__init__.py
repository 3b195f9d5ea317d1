"""A parent's answers as references in data sets."""
