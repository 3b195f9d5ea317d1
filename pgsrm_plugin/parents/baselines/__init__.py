"""What the starting policy itself earns, which a spec's shape holds rewards against."""
