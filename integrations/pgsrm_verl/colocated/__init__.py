"""Trainer mode ``pgsrm_sync``: a whole step's responses scored at once by an encoder on the training GPUs."""
