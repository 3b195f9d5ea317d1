"""Whether a reward deserves trust: what it pays for nothing, and how it agrees with people."""
