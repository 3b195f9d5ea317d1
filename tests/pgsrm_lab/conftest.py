"""Training runs in one thread."""

from one_thread import _one_thread as _one_thread
