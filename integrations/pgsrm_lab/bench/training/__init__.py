"""``pgsrm bench train``: a whole training step of ours and of TRL's, each in a process of its own, in turns."""
