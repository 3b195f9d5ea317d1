"""Reference answers from a parent model: asked once, kept in a store, exported as training data."""
