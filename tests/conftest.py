import pytest
import torch


@pytest.fixture(autouse=True)
def _same_initial_weights():
    """Modules that a test builds bare draw their weights from torch's global generator."""
    torch.manual_seed(0)
