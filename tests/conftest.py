import os

import pytest
import torch

# Python 3.11 may stop for good within Dask's profiler (python/cpython#106883).
os.environ.setdefault("DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED", "False")


@pytest.fixture(autouse=True)
def _same_initial_weights():
    """Modules that a test builds bare draw their weights from torch's global generator."""
    torch.manual_seed(0)
