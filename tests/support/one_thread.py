"""Training runs in one thread: what is measured here is not speed. A conftest that imports the fixture has it so."""

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)
