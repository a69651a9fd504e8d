"""The main job: networks against baselines on noisy digits."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "examples" / "demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["demo"]


@pytest.mark.parametrize("snr_db", [10, 5])
def test_every_network_beats_both_baselines_by_20_points(demo, snr_db):
    task = demo.Task("digits", snr_db, seed=0)
    accuracy = {name: demo.run(task, name)[2] for name in (*demo.NETWORKS, *demo.BASELINES)}
    best_baseline = max(accuracy[name] for name in demo.BASELINES)
    worst_network = min(accuracy[name] for name in demo.NETWORKS)
    assert worst_network >= best_baseline + 0.20, accuracy


def test_a_linear_model_wins_on_centred_digits(demo):
    task = demo.Task("centred digits", None, seed=0)
    assert demo.run(task, "logistic regression")[2] > 0.93


def test_samples_are_scaled_after_the_noise(demo):
    X_train, X_test, *_ = demo.load(demo.Task("digits", 0, seed=1))
    for X in (X_train, X_test):
        np.testing.assert_allclose(X.mean((1, 2, 3)), 0, atol=1e-12)
        np.testing.assert_allclose(X.std((1, 2, 3)), 1)


def test_summary_averages_over_seeds_and_the_figure_is_written(demo, tmp_path, capsys):
    results = [
        (demo.Task("digits", snr, seed), name, 0.5 + 0.1 * seed, 1.0)
        for snr in (0, 5)
        for seed in (0, 1)
        for name in (*demo.NETWORKS, *demo.BASELINES)
    ]
    table = demo.summarise(results)
    mean, spread, seconds = table["SVC"]["digits", 5]
    assert (mean, spread, seconds) == pytest.approx((0.55, 0.05 * 2**0.5, 1.0))
    demo.print_table(table)
    assert "digits 5 dB" in capsys.readouterr().out
    demo.draw(table, tmp_path / "new" / "demo.png")
    assert (tmp_path / "new" / "demo.png").stat().st_size > 10_000
