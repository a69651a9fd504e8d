import numpy as np
import pytest

from sklearn_drsn.datasets import sliding_windows


@pytest.mark.parametrize(("window", "step"), [(3, 1), (3, 3), (4, 2), (2, 5), (10, 1)])
def test_windows_against_slices(window, step):
    x = np.arange(10)
    expected = [x[i : i + window] for i in range(0, len(x) - window + 1, step)]
    np.testing.assert_array_equal(sliding_windows(x, window, step), expected)


def test_is_a_view_that_cannot_be_written():
    x = np.arange(10.0)
    windows = sliding_windows(x, 4, 2)
    assert np.shares_memory(windows, x)
    assert not windows.flags.writeable


@pytest.mark.parametrize(
    ("x", "window", "step", "message"),
    [
        (np.ones((2, 9)), 3, 1, r"1 dimension, got x.shape=\(2, 9\)"),
        (np.ones(9), 10, 1, "at most 9 samples, got window=10"),
        (np.ones(9), 0, 1, "at least 1, got window=0"),
        (np.ones(9), 3, 0, "step=0"),
    ],
)
def test_refuses(x, window, step, message):
    with pytest.raises(ValueError, match=message):
        sliding_windows(x, window, step)
