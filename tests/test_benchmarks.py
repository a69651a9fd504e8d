"""What the sweeping benchmarks keep and compute."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ttest_rel
from sklearn.neighbors import NearestCentroid

import sklearn_drsn

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from _cells import (
    CellStore,
    fingerprint,
    imported_files,
    in_child,
    mean_and_spread,
    paired_interval,
    show,
)
from _figures import draw
from _models import MODELS, Model, ours
from _shrinkage import TRIED, Shrinkage, ShrinkingClassifier
from _sweep import QUIET, Sweep, sweep_parser
from _tasks import CHOOSING, TASKS, Data, Task, noisy_rows
from bench_noise_robustness import mean_errors, panels
from bench_paper import PUBLISHED, READ_OFF, published
from bench_shrinkage import groups, lines
from plan_scale import epoch_seconds, parallel_efficiency, search_seconds

sys.path.pop()

KEY = {"task": "bearing", "test": ("gaussian", -5.0), "code": "abc", "seed": 0}


def test_cells_are_found_again(tmp_path):
    path = tmp_path / "new" / "cells.jsonl"
    store = CellStore(path)
    assert KEY not in store
    store[KEY] = {"accuracy": 0.5}
    store[{**KEY, "seed": 1}] = {"accuracy": 0.6}
    store[KEY] = {"accuracy": 0.7}  # measured anew: the last one counts
    again = CellStore(path)
    assert again[KEY] == {"accuracy": 0.7}
    assert {**KEY, "test": ("gaussian", 0.0)} not in again


def test_a_cell_cut_short_is_measured_again(tmp_path):
    path = tmp_path / "cells.jsonl"
    CellStore(path)[KEY] = {"accuracy": 0.5}
    path.write_bytes(path.read_bytes()[:-9])
    store = CellStore(path)
    assert KEY not in store
    store[KEY] = {"accuracy": 0.6}
    assert CellStore(path)[KEY] == {"accuracy": 0.6}


def test_without_curves_there_is_no_figure(tmp_path, capsys):
    draw([], ["DRSN"], tmp_path / "figure.png")
    assert "no figure" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_parts_of_a_key_can_be_ignored(tmp_path):
    path = tmp_path / "cells.jsonl"
    CellStore(path)[KEY] = {"accuracy": 0.5}
    other = {**KEY, "code": "def"}
    assert other not in CellStore(path)
    assert CellStore(path, ignored=("code",))[other] == {"accuracy": 0.5}


def test_only_code_changes_the_fingerprint(tmp_path):
    def of(name, text):
        folder = tmp_path / name
        (folder / "package").mkdir(parents=True)
        (folder / "package" / "deep.py").write_text(text)
        (folder / "package" / "__init__.py").write_text("import numpy\n")
        (folder / "package" / "beside.py").write_text(f"unused = {name!r}\n")
        (folder / "middle.py").write_text("from package.deep import f\n")
        (folder / "top.py").write_text("import middle\n")
        return fingerprint(folder / "top.py", (folder,))

    first = of("first", "def f(x):\n    return x + 1\n")
    assert (
        of("second", '"""Doc."""\n\n\ndef f(x):\n    """Doc."""\n    return x + 1  # why\n')
        == first
    )
    assert of("third", "def f(x):\n    return x + 2\n") != first


def test_what_decides_on_augmentation_is_in_the_fingerprint():
    root = Path(sklearn_drsn.__file__).parent
    of_classifier = imported_files(root / "estimators" / "_classifier.py")
    assert {root / "wavelets.py", root / "layers" / "_unit.py"} <= of_classifier
    unused = root / "estimators" / "_restorers.py", root / "persistence" / "_onnx.py"
    assert not {*unused} & of_classifier
    assert all(path.is_file() for path in unused)


def test_functions_of_contestants_are_in_their_key(monkeypatch):
    task = TASKS["digit_canvas"]
    before = MODELS["log-spectrum"].key(task)
    monkeypatch.setattr("_models._log_magnitude", lambda X, shape: X)
    after = MODELS["log-spectrum"].key(task)
    assert before["code"] != after["code"]


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks beside threads
def test_a_child_answers_fails_or_dies():
    assert in_child(divmod, 7, 2) == (3, 1)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        in_child(divmod, 7, 0)
    with pytest.raises(RuntimeError, match="exit code 3"):
        in_child(os._exit, 3)


def test_the_interval_is_students():
    rng = np.random.default_rng(0)
    ours, others = rng.normal(size=(2, 5))
    mean, half = paired_interval(ours, others)
    expected = ttest_rel(ours, others).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((expected.low, expected.high))


def test_one_seed_has_no_spread():
    assert math.isnan(paired_interval([0.5], [0.4])[1])
    assert show(*mean_and_spread([0.5])) == "0.500"
    assert show(*mean_and_spread([0.5, 0.6])) == "0.550 ±0.071"


def test_parameters_name_a_model():
    task = TASKS["bearing"]
    keys = [model.key(task) for model in (ours("a"), ours("a"), ours("a", width=8))]
    assert keys[0] == keys[1]
    assert keys[0]["parameters"] != keys[2]["parameters"]
    assert MODELS["log-spectrum"].key(task) == MODELS["log-spectrum"].key(task)


@pytest.mark.parametrize("kind", ["gaussian", "laplacian", "pink"])
def test_noisy_samples_have_no_gain_and_noise_of_their_own(kind):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 1, 64)) * np.array([1, 10, 0.1, 1, 5, 2])[:, None, None]
    data = Data(X, None, X, None)
    train, test, again, quiet = (
        noisy_rows(TASKS["bearing"], data, *of)
        for of in (
            ("train", kind, 0.0, 1),
            ("test", kind, 0.0, 1),
            ("train", kind, 0.0, 1),
            ("train", "none", None, 1),
        )
    )
    assert np.array_equal(train, again)
    assert np.abs(train - test).max() > 0.1
    for rows in (train, quiet):
        np.testing.assert_allclose(rows.mean(axis=1), 0, atol=1e-6)
        np.testing.assert_allclose(rows.std(axis=1), 1, rtol=1e-5)


def test_noise_of_tables_is_in_units_of_columns():
    X = np.random.default_rng(0).normal(size=(4000, 2)) * [1.0, 100.0]
    data = Data(X, None, X, None)
    task = TASKS["table_wine"]
    noise = noisy_rows(task, data, "test", "gaussian", -6.0, 0) - X
    np.testing.assert_allclose(noise.std(axis=0) / X.std(axis=0), 2.0, rtol=0.05)
    wider = noisy_rows(task, data, "train", "columns", 4.0, 0)
    assert wider.shape == (4000, 10)
    assert np.array_equal(wider[:, :2], X)


@pytest.mark.parametrize(("read", "train"), [(1.0, 3.0), (3.0, 1.0), (2.0, 2.0)])
def test_an_epoch_takes_what_the_slower_of_reading_and_training_takes(read, train):
    n_batches = 500
    first_or_last = min(read, train)
    expected = n_batches * max(read, train) + first_or_last
    assert epoch_seconds(n_batches, read, train) == pytest.approx(expected)


def test_a_search_keeps_its_workers_busy():
    assert search_seconds([3.0] * 8, 2) == 12.0
    assert search_seconds([5.0, 1.0, 1.0, 1.0], 2) == 5.0
    assert search_seconds([1.0, 2.0], 5) == 2.0


def test_data_parallel_training_costs_what_is_sent():
    assert parallel_efficiency(1, 1.0, 1e9, 1.0, 1.0) == 1.0
    # Two machines send half of the gradients twice: one second, and latency twice.
    assert parallel_efficiency(2, 3.0, 100.0, 100.0, 0.5) == pytest.approx(3 / 5)


def test_figures_read_off_agree_with_the_published_table():
    for name, ((accuracy, _), _) in PUBLISHED.items():
        found = [value for of_kind in READ_OFF.values() for value in of_kind[name]]
        assert len(found) == 33
        assert np.mean(found) == pytest.approx(accuracy, abs=0.05)


def test_a_part_of_the_paper_is_compared_with_that_part():
    conditions = [("gaussian", -5.0), ("pink", 5.0)]
    assert published("DRSN-CW", conditions)[0] == pytest.approx((76.1 + 99.3) / 2)
    every = [(kind, float(snr)) for kind in READ_OFF for snr in range(-5, 6)]
    assert published("DRSN-CW", every) == (89.57, 0.87)
    assert published("DRSN-CW", [QUIET]) == (99.70, 0.16)
    assert np.isnan(published("DRSN-CW", [("gaussian", -10.0)])[0])


@pytest.mark.parametrize("load", [0, 1])
def test_what_is_chosen_on_lies_before_what_is_tested_on(tmp_path, load):
    place = np.arange(150_000, dtype=np.float32)  # a value tells where in the record it was
    names = [f"{fault}{size}" for fault in ("IR", "B", "OR") for size in ("007", "014", "021")]
    meta = [
        {"key": f"{name}_L{load}", "scale": 1.0, "name": name, "load": load}
        for name in ("Normal", *names)
    ]
    (tmp_path / "cwru").mkdir()
    records = {record["key"]: place for record in meta}
    records[f"Normal_L{load}"] = place[:61_000]  # as long as the real one of load 0
    np.savez(tmp_path / "cwru" / "cwru_12k_de.npz", meta=json.dumps(meta), **records)
    task = TASKS["bearing" if load == 0 else "bearing_1"]
    whole, data = (t.load(tmp_path, 0) for t in (task, CHOOSING[f"bearing_{load}_choosing"]))
    chosen = data.X_train, data.y_train, data.X_test, data.y_test
    for name in np.unique(whole.y_test):
        early, late = (X[y == name] for X, y in (chosen[:2], chosen[2:]))
        assert early.max() < late.min()
        assert late.max() < whole.X_test[whole.y_test == name].min()
        assert 2 < len(early) / len(late) < 4


def test_what_is_chosen_on_has_heard_no_speaker_of_the_test(tmp_path):
    n_each = 3
    speakers = np.repeat(["ada", "bob", "cleo", "dan"], n_each)
    (tmp_path / "fsdd").mkdir()
    np.savez(
        tmp_path / "fsdd" / "fsdd.npz",
        offsets=np.arange(len(speakers) + 1) * 10,
        audio=np.repeat(np.arange(len(speakers)), 10),  # every value names its recording
        y=np.arange(len(speakers)) % 10,
        speaker=speakers,
    )
    for seed in range(5):
        chosen, whole = (
            task.load(tmp_path, seed)
            for task in (CHOOSING["digits_spoken_choosing"], TASKS["digits_spoken"])
        )
        train, test, never = (
            {speakers[int(recording)] for recording in X.max(axis=(1, 2))}
            for X in (chosen.X_train, chosen.X_test, whole.X_test)
        )
        assert (len(train), len(test), len(never)) == (2, 1, 1)
        assert train | test | never == {*speakers}


def test_a_part_of_the_training_samples_is_chosen_on(tmp_path):
    chosen, whole = (
        task.load(tmp_path, 0)
        for task in (CHOOSING["digit_canvas_choosing"], TASKS["digit_canvas"])
    )
    assert (len(chosen.X_train), len(chosen.X_test)) == (800, 400)
    kept = {X.tobytes() for X in whole.X_train}
    assert {X.tobytes() for X in [*chosen.X_train, *chosen.X_test]} == kept


def test_photographs_are_chosen_on_or_tested_with(tmp_path):
    """The contrast of stripes tells the photograph, and louder ones the left part."""
    tasks = CHOOSING["photographs_choosing"], TASKS["photographs"]
    with pytest.raises(FileNotFoundError, match="expected 40 pictures or more"):
        tasks[0].load(tmp_path, 0)
    folder = tmp_path / "images" / "train400"
    folder.mkdir(parents=True)
    for number in range(50):
        photograph = np.zeros((60, 100), np.uint8)
        photograph[::2] = 1 + number
        photograph[::2, :60] += 100
        Image.fromarray(photograph).save(folder / f"{number:02d}.png")
    photographs = []
    for task in tasks:
        data = task.load(tmp_path, 0)
        np.testing.assert_allclose(data.X_train.mean(axis=(1, 2, 3)), 0, atol=1e-6)
        contrasts = [
            np.rint(255 * np.ptp(X, axis=(1, 2, 3))).astype(int).reshape(20, n)
            for X, n in ((data.X_train, 40), (data.X_test, 30))
        ]
        np.testing.assert_array_equal(contrasts[0] - 100, contrasts[1][:, :1].repeat(40, axis=1))
        np.testing.assert_array_equal(contrasts[1], contrasts[1][:, :1].repeat(30, axis=1))
        assert data.X_train.shape[1:] == data.X_test.shape[1:] == (1, 24, 24)
        assert (data.y_test.reshape(20, 30) == np.arange(20)[:, None]).all()
        assert (data.y_train.reshape(20, 40) == np.arange(20)[:, None]).all()
        photographs.append({*contrasts[1][:, 0]})
    assert len(photographs[0]) == len(photographs[1]) == 20
    assert not photographs[0] & photographs[1]


def learnt_from(length, *, tested):
    """A task whose training part depends on the length alone."""

    def load(folder, seed):
        X = np.random.default_rng(seed).standard_normal((80, 1, length))
        X[::2] += np.linspace(-5, 5, length)
        y = np.tile(["a", "b"], 40)
        return Data(X[:40], y[:40], X[40 : 40 + tested], y[40 : 40 + tested])

    return Task(f"{length} long, {tested} tested", load, "series")


def nearest_mean(folder):
    """A contestant that leaves a line in a file whenever it is fitted in earnest."""

    class Estimator(NearestCentroid):
        def fit(self, X, y):
            with (folder / "fits").open("a") as file:
                file.write(f"{X.shape}\n" * (len(X) == 40))
            return super().fit(X, y)

    return Model("nearest mean", lambda *_: Estimator())


def swept(folder, tasks, model, *options):
    arguments = sweep_parser("").parse_args(
        ["--data", str(folder), "--seeds", "1", "--output", str(folder), *options]
    )
    noise = ("gaussian", -10.0)
    sweep = Sweep(
        "cells", tasks, {model.name: model}, lambda task: {noise: [noise, QUIET]}, arguments
    )
    failures = sweep.run()
    return failures, [sweep.results(task, model.name, noise, noise) for task in tasks]


def test_one_fit_serves_all_that_learn_the_same(tmp_path, capsys):
    tasks = [learnt_from(30, tested=20), learnt_from(50, tested=40), learnt_from(30, tested=40)]
    model = nearest_mean(tmp_path)
    failures, together = swept(tmp_path, tasks, model)
    assert not failures
    fits = (tmp_path / "fits").read_text().split("\n")[:-1]
    assert fits == ["(40, 30)", "(40, 50)"]
    assert sorted(path.stem for path in (tmp_path / "cells").iterdir()) == sorted(
        task.name for task in tasks
    )
    alone = [swept(tmp_path / task.name, [task], model)[1][0] for task in tasks]
    for both, one in zip(together, alone, strict=True):
        assert [r["accuracy"] for r in both] == [r["accuracy"] for r in one]
        assert 0.5 < np.mean([r["accuracy"] for r in both]) < 1
    n_fits = len((tmp_path / "fits").read_text())
    capsys.readouterr()
    assert swept(tmp_path, tasks, model) == ([], together)
    assert len((tmp_path / "fits").read_text()) == n_fits
    assert capsys.readouterr().out == ""


def test_a_sweep_passes_a_failing_fit_and_measures_what_is_missing(tmp_path, capsys):
    long = learnt_from(50, tested=20)
    tasks = [learnt_from(30, tested=20), long]

    class Estimator(NearestCentroid):
        def fit(self, X, y):
            if X.shape[1] == 50:
                raise ValueError("expected series of 30")
            return super().fit(X, y)

    failures, (results, none) = swept(
        tmp_path, tasks, Model("nearest mean", lambda *_: Estimator())
    )
    (*where, error) = failures[0]
    assert where == [long.name, "nearest mean", "gaussian -10 dB", 0]
    assert "expected series of 30" in error
    assert len(failures) == 1
    assert "FAILED" in capsys.readouterr().out
    assert 0.5 < results[0]["accuracy"] < 1
    assert none is None
    model = nearest_mean(tmp_path)
    assert swept(tmp_path, tasks, model, "--only-tables") == ([], [results, None])
    assert not (tmp_path / "fits").exists()
    failures, (kept, measured) = swept(tmp_path, tasks, model)
    assert not failures
    assert kept == results
    assert 0.5 < measured[0]["accuracy"] < 1
    assert (tmp_path / "fits").read_text() == "(40, 50)\n"


def cells(*accuracies):
    return [{"accuracy": accuracy} for accuracy in accuracies]


ROWS = {
    ("bearing", "matched", ("gaussian", 0.0)): {"DRSN": cells(0.9, 0.8), "SVC": cells(0.5, 0.5)},
    ("bearing", "matched", ("gaussian", -5.0)): {"DRSN": cells(0.7, 0.6)},
    ("ecg5000", "matched", ("gaussian", 0.0)): {"DRSN": cells(1, 1), "SVC": cells(0.9, 0.8)},
    ("ecg5000", "matched", ("pink", -5.0)): {"DRSN": cells(0.8, 0.8), "SVC": cells(0.7, 0.6)},
    ("ecg5000", "matched", QUIET): {"DRSN": cells(1, 1), "SVC": cells(1, 1)},
}


def test_errors_are_averaged_over_what_both_were_tested_in():
    found = mean_errors(ROWS, ["SVC", "MLP"], 2)
    tasks, ours, others = found["series", "matched", "0 dB and below", "SVC"]
    assert tasks == ["bearing", "ecg5000"]
    # Every task counts once: the mean of 0.1 and of (0 + 0.2) / 2; of 0.5 and of (0.1 + 0.3) / 2.
    np.testing.assert_allclose(ours, [0.1, 0.15])
    np.testing.assert_allclose(others, [0.35, 0.4])
    assert not any(other == "MLP" for *_, other in found)


def test_a_panel_shows_one_kind_of_noise():
    shown = {panel.title: panel for panel in panels(ROWS, ["DRSN", "SVC", "MLP"])}
    assert list(shown) == [
        "bearing, matched, gaussian",
        "ecg5000, matched, gaussian",
        "ecg5000, matched, pink",
    ]
    assert shown["ecg5000, matched, pink"].x == ["-5", "none"]
    mean, spread = shown["ecg5000, matched, pink"].curves["SVC"]
    np.testing.assert_allclose(mean, [0.65, 1.0])
    np.testing.assert_allclose(spread, [0.05 * math.sqrt(2), 0.0])
    mean, _ = shown["bearing, matched, gaussian"].curves["SVC"]
    np.testing.assert_allclose(mean, [math.nan, 0.5])
    assert "MLP" not in shown["bearing, matched, gaussian"].curves


def test_variants_are_compared_in_pairs_where_both_were_measured():
    names = ["bearing_0_choosing", "ecg5000_choosing", "bearing_1_choosing"]
    assert groups(names) == [["bearing_0_choosing", "bearing_1_choosing"], ["ecg5000_choosing"]]

    def results(*accuracies):
        return [{"accuracy": accuracy, "fit_seconds": 2.0} for accuracy in accuracies]

    found = {
        "proportional": {"a": results(0.9, 0.8), "b": results(0.7, 0.8), "c": results(0.1, 0.3)},
        "None": {"a": results(0.8, 0.8), "b": results(0.6, 0.6), "c": results(0.2, 0.2)},
        "firm": {"a": results(0.5, 0.5)},
    }
    first, none = lines(found, [["a", "b"]])
    assert first[:4] == ["proportional", pytest.approx(0.8), pytest.approx(0.0816497), 2.0]
    expected = paired_interval([0.9, 0.8, 0.7, 0.8], [0.8, 0.8, 0.6, 0.6])
    assert first[4:] == [None, pytest.approx(expected)]
    assert none[0] == "None"
    assert none[4:] == [pytest.approx((-expected[0], expected[1])), None]
    assert [line[0] for line in lines(found, [["a"]])] == ["proportional", "None", "firm"]
    # Two loads count as one: the mean of a and b, then that of it and c.
    averaged, _ = lines(found, [["a", "b"], ["c"]])
    assert averaged[1] == pytest.approx(np.mean([(0.8 + 0.1) / 2, (0.8 + 0.3) / 2]))
    assert averaged[5] == pytest.approx(paired_interval([0.45, 0.55], [0.45, 0.45]))


@pytest.fixture
def tones():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    X = np.sin((0.3 + 0.5 * y[:, None]) * np.arange(128)) + 0.3 * rng.normal(size=(60, 128))
    return X.astype(np.float32), y


@pytest.mark.parametrize("name", TRIED)
def test_what_was_tried_in_place_of_thresholds_learns(tones, name):
    X, y = tones
    model = ShrinkingClassifier(
        input_shape=(1, -1), threshold_mode=name, width=4, max_epochs=15, random_state=0
    ).fit(X, y)
    assert model.score(X, y) > 0.9
    layers = [m for m in model.net_.module_.modules() if isinstance(m, Shrinkage)]
    alone = name in ("behind the first convolution", "in the first unit", "in the last unit")
    assert len(layers) == (1 if alone else 3)
    x = torch.randn(5, layers[0].gate[-1].bias.numel(), 40)
    assert (layers[0](x).abs() <= x.abs()).all()
    assert not torch.equal(layers[0](x), x)


def test_shares_that_start_small_do():
    layer = Shrinkage(4, starts_small=True)
    layer.begin()
    x = torch.randn(6, 4, 50)
    expected = x.sign() * torch.relu(x.abs() - 0.05 * x.abs().mean(-1, keepdim=True))
    torch.testing.assert_close(layer(x), expected)


def test_inception_learns_in_our_engine(tones):
    X, y = tones
    model = MODELS["Inception"].make(TASKS["bearing"], (1, 128), 0, "cpu")
    assert model.set_params(max_epochs=2).fit(X, y).score(X, y) > 0.9
    assert len(model.net_.module_.modules_) == 6
