"""Semantic rewards for verl: reward managers, a colocated encoder, and training on a CPU for rehearsals."""
