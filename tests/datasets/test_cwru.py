import json
import re

import numpy as np
import pytest
from scipy.io import savemat

from sklearn_drsn.datasets import load_cwru

CLASSES = ["Normal", *(f"{part}{size}" for part in ("IR", "B", "OR") for size in ("007", "014"))]
LENGTH = 5000


def ramp(seed):
    """A recording whose values tell where they were cut out."""
    return np.arange(LENGTH, dtype=np.int16) + seed


@pytest.fixture
def compact(tmp_path):
    meta, records = [], {}
    for seed, name in enumerate(CLASSES):
        for load in (0, 1):
            key = f"{name}_L{load}"
            meta.append({"key": key, "scale": 0.5, "name": name, "load": load})
            records[key] = ramp(100 * seed + load)
    np.savez(tmp_path / "cwru_12k_de.npz", meta=json.dumps(meta), **records)
    return tmp_path


@pytest.fixture
def mat_folder(tmp_path):
    t = np.arange(4 * LENGTH) / 48_000
    tone = np.sin(2 * np.pi * 1000 * t) + np.sin(2 * np.pi * 9000 * t)
    faults = tmp_path / "faults"
    faults.mkdir()
    column = np.arange(LENGTH, dtype=float)[:, None]
    savemat(tmp_path / "97.mat", {"X097_DE_time": tone[:, None], "X097RPM": 1796})
    savemat(tmp_path / "Normal_2.mat", {"X098_DE_time": tone, "X099_DE_time": -tone})
    savemat(faults / "105.mat", {"X105_DE_time": column, "X105_FE_time": -column})
    savemat(faults / "OR007@6_1.mat", {"X131_DE_time": column + 7}, do_compression=True)
    savemat(faults / "109.mat", {"X109_DE_time": column})
    hdf5_header = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM"
    (tmp_path / "other.mat").write_bytes(hdf5_header + bytes(384))
    return tmp_path


def load_small(path, **parameters):
    return load_cwru(path, **{"classes": CLASSES, "window": 256, **parameters})


@pytest.mark.parametrize("name", ["", "cwru_12k_de.npz"])
def test_compact_file(compact, name):
    data = load_small(compact / name)
    n_train, n_test = (3000 - 256) // 512 + 1, (2000 - 256) // 1024 + 1
    assert data.X_train.shape == (7 * n_train, 1, 256)
    assert data.X_test.shape == (7 * n_test, 1, 256)
    assert data.X_train.dtype == data.X_test.dtype == np.float32
    assert data.target_names == CLASSES
    assert data.sampling_rate == 12_000.0
    assert list(data.y_train) == [name for name in CLASSES for _ in range(n_train)]
    assert list(data.groups_test) == [f"{name}_L0" for name in CLASSES for _ in range(n_test)]
    assert "Smith" in data.DESCR


def test_scale_and_position(compact):
    data = load_small(compact, classes=["IR007"], load=1)
    start = 0.5 * ramp(101)
    np.testing.assert_array_equal(data.X_train[1, 0], start[512:768])
    np.testing.assert_array_equal(data.X_test[1, 0], start[4024:4280])


@pytest.mark.parametrize("fraction", [0.3, 0.6, 0.777])
def test_no_window_straddles_the_split(compact, fraction):
    data = load_small(compact, classes=["Normal"], train_fraction=fraction, train_step=1)
    border = 0.5 * int(fraction * LENGTH)
    assert data.X_train.max() == border - 0.5
    assert data.X_test.min() == border


def test_max_samples_cuts_before_the_split(compact):
    data = load_small(compact, classes=["Normal"], max_samples=1000, train_step=1, test_step=1)
    assert data.X_train.max() == 0.5 * 599
    assert data.X_test.max() == 0.5 * 999
    whole = load_small(compact, classes=["Normal"], max_samples=None, test_step=1)
    assert whole.X_test.max() == 0.5 * (LENGTH - 1)


def test_several_loads(compact):
    data = load_small(compact, load=[0, 1])
    assert set(data.groups_train) == {f"{name}_L{load}" for name in CLASSES for load in (0, 1)}
    assert data.target_names == CLASSES


def test_mat_files(mat_folder):
    data = load_small(mat_folder, classes=["IR007"], load=0)
    np.testing.assert_array_equal(data.X_train[0, 0], np.arange(256))
    data = load_small(str(mat_folder), classes=["OR007"], load=1)
    np.testing.assert_array_equal(data.X_train[0, 0], np.arange(256) + 7)


def test_normal_mat_files_are_decimated_without_delay(mat_folder):
    data = load_small(mat_folder, classes=["Normal"], test_step=256)
    x = data.X_test[:, 0].ravel()
    t = (3000 + np.arange(len(x))) / 12_000
    np.testing.assert_allclose(x[:1500], np.sin(2 * np.pi * 1000 * t)[:1500], atol=2e-3)


def test_file_name_decides_between_two_recordings(mat_folder):
    data = load_small(mat_folder, classes=["Normal"], load=[0, 2])
    of_0, of_2 = (data.X_train[data.groups_train == f"Normal_L{load}"] for load in (0, 2))
    np.testing.assert_array_equal(of_2, -of_0)
    with pytest.raises(ValueError, match="Normal_L1"):
        load_small(mat_folder, classes=["Normal"], load=1)


@pytest.mark.parametrize("n_bytes", [0, 100, 128, 1000])
def test_damaged_mat_files_are_named_where_they_are_needed(mat_folder, n_bytes):
    broken = mat_folder / "faults" / "105.mat"
    broken.write_bytes(broken.read_bytes()[:n_bytes])
    message = re.escape(str(broken)) + " is damaged or no MAT file: "
    with pytest.raises(ValueError, match=message):
        load_small(mat_folder, classes=["IR007"])
    assert len(load_small(mat_folder, classes=["OR007"], load=1).X_test)


def test_foreign_mat_files_are_passed_over(mat_folder):
    expected = load_small(mat_folder, classes=["Normal"]).X_train
    hidden = mat_folder / "__MACOSX"
    hidden.mkdir()
    (hidden / "._97.mat").write_bytes(b"\0\5\x16\7" + bytes(200))
    (hidden / "note.mat").write_text("no MAT file")
    (hidden / "empty.mat").touch()
    (mat_folder / "zz").mkdir()
    (mat_folder / "zz" / "97.mat").touch()  # an intact one is there
    found = load_small(mat_folder, classes=["Normal"]).X_train
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("meta", ["no JSON", '[{"name": "Normal", "load": 0}]', "[1]"])
def test_wrong_meta_is_named(tmp_path, meta):
    file = tmp_path / "cwru_12k_de.npz"
    np.savez(file, meta=meta)
    with pytest.raises(ValueError, match=f"{re.escape(str(file))} is damaged or no compact file"):
        load_small(tmp_path)


def test_arrays_that_a_compact_file_lacks_are_named(compact):
    file = compact / "cwru_12k_de.npz"
    meta = [{"key": "a", "scale": 1, "name": "Normal", "load": 0}]
    np.savez(file, meta=json.dumps(meta), b=ramp(0))
    message = r"expected the arrays \['a'\] in .*cwru_12k_de.npz, it holds \['meta', 'b'\]"
    with pytest.raises(ValueError, match=message):
        load_small(file, classes=["Normal"])
    np.savez(file, ma=ramp(0))
    with pytest.raises(ValueError, match=r"expected the arrays \['meta'\] in .*holds \['ma'\]"):
        load_small(file)


def test_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_cwru(tmp_path / "nowhere")
    expected = "expected cwru_12k_de.npz or MAT files.*X105_DE_time.*" + re.escape(str(tmp_path))
    with pytest.raises(FileNotFoundError, match=expected):
        load_cwru(tmp_path)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"load": 3}, r"loads \[3\], got none for \[Normal_L3.*the files hold \[B007_L0, B007_L1"),
        ({"classes": ["OR021"]}, r"got none for \[OR021_L0\]; the files hold \[B007_L0"),
        ({"classes": []}, "the files hold"),
        ({"classes": "Normal"}, r"a sequence of names, some of \['Normal', .*, got 'Normal'"),
        ({"window": 2001}, r"at least window=2001 samples, got 2000 in Normal_L0"),
        ({"train_fraction": 0.0}, "between 0 and 1, got 0.0"),
        ({"train_fraction": 1.0}, "between 0 and 1, got 1.0"),
        ({"train_step": 0}, "step=0"),
    ],
)
def test_refuses(compact, parameters, message):
    with pytest.raises(ValueError, match=message):
        load_small(compact, **parameters)
