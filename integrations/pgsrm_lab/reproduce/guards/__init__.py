"""What a child learns from rewards that do, or do not, see that a near-copy of the reference is wrong."""
