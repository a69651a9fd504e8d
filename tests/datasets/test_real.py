import json
import re

import numpy as np
import pytest
from scipy.io import savemat

from sklearn_drsn.datasets import load_cwru, load_mitbih, load_nstdb

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


def test_a_damaged_compact_file_is_named(compact):
    check_damaged(compact / "cwru_12k_de.npz", load_small)


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


def check_damaged(file, load):
    data = file.read_bytes()
    for damaged in (b"", b"no archive", data[:100], data[: len(data) // 2], data[:-30]):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{re.escape(str(file))} is damaged or no NPZ file"):
            load(file)
    with file.open("wb") as array:
        np.save(array, ramp(0))
    with pytest.raises(ValueError, match=f"{re.escape(str(file))} is damaged or no NPZ file"):
        load(file)


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


RECORDS = [101, 106, 108, 109, 112, 114, 115]
GROUPS = ["N", "S", "V", "F", "Q"]


@pytest.fixture
def mitbih(tmp_path):
    """Seven records; each has 3 beats of N, S, V and F, the first one Q as well."""
    y = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3] * len(RECORDS) + [4])
    record = np.append(np.repeat(RECORDS, 12), RECORDS[0])
    X = np.arange(len(y))[:, None] + np.zeros((1, 256), dtype=np.int16)
    rr = np.stack([np.linspace(0.5, 100.0, len(y)), np.full(len(y), 0.8)], axis=1)
    common = {"scale": 0.005, "fs": 360.0}
    beats = {"X": X, "y": y, "record": record, "rr": rr, "class_names": GROUPS, **common}
    np.savez(tmp_path / "mitbih_beats.npz", **beats)
    strips = np.arange(21600) + 100 * np.arange(len(RECORDS))[:, None]
    np.savez(tmp_path / "mitbih_60s.npz", X=strips, record=RECORDS, **common)
    return tmp_path


@pytest.fixture
def nstdb(tmp_path):
    leads = np.stack([np.arange(1000), -np.arange(1000)], axis=1).astype(np.int16)
    np.savez(tmp_path / "nstdb_noise.npz", ma=leads, bw=2 * leads, scale=0.005, fs=360.0)
    return tmp_path


class TestMitbih:
    @pytest.mark.parametrize("name", ["", "mitbih_beats.npz"])
    def test_beats(self, mitbih, name):
        data = load_mitbih(mitbih / name)
        assert data.X_train.shape == (5 * 12, 1, 256)
        assert data.X_test.shape == (2 * 12, 1, 256)
        assert data.X_train.dtype == np.float32
        assert data.sampling_rate == 360.0
        assert data.y_test.tolist() == [name for name in 2 * "NSVF" for _ in range(3)]
        assert "Moody" in data.DESCR

    def test_millivolts_and_rows_that_belong_together(self, mitbih):
        data = load_mitbih(mitbih)
        rows = np.flatnonzero(np.isin(np.repeat(RECORDS, 12), [108, 114]))
        np.testing.assert_allclose(data.X_test[:, 0, 17], 0.005 * rows, rtol=1e-6)
        np.testing.assert_array_equal(data.groups_test, np.repeat([108, 114], 12))
        expected = np.minimum(np.linspace(0.5, 100.0, 12 * len(RECORDS) + 1)[rows], 3.0)
        np.testing.assert_allclose(data.rr_test[:, 0], expected)
        np.testing.assert_allclose(data.rr_test[:, 1], 0.8)

    @pytest.mark.parametrize("part", ["beats", "strips"])
    def test_patients_are_apart_and_the_same_for_both_parts(self, mitbih, part):
        data = load_mitbih(mitbih, part=part)
        assert np.unique(data.groups_test).tolist() == RECORDS[2::3]
        assert set(data.groups_train) == set(RECORDS) - set(RECORDS[2::3])
        data = load_mitbih(mitbih, part=part, test_records=[101, 115])
        assert np.unique(data.groups_test).tolist() == [101, 115]

    def test_classes(self, mitbih):
        data = load_mitbih(mitbih, classes=("V", "Q"), test_records=[101])
        assert data.y_test.tolist() == ["V"] * 3 + ["Q"]
        assert set(data.y_train) == {"V"}

    def test_whole_strips(self, mitbih):
        data = load_mitbih(mitbih, part="strips")
        assert data.X_train.shape == (5, 1, 21600)
        expected = 0.005 * (np.arange(21600) + 200)
        np.testing.assert_allclose(data.X_test[0, 0], expected, rtol=1e-6)

    def test_windows_of_strips(self, mitbih):
        data = load_mitbih(mitbih, part="strips", window=512, step=256)
        n = (21600 - 512) // 256 + 1
        assert data.X_test.shape == (2 * n, 1, 512)
        np.testing.assert_array_equal(data.groups_test, np.repeat([108, 114], n))
        start = 0.005 * (500 + 256 + np.arange(512))
        np.testing.assert_allclose(data.X_test[n + 1, 0], start, rtol=1e-6)
        apart = load_mitbih(mitbih, part="strips", window=512)
        assert apart.X_test.shape == (2 * (21600 // 512), 1, 512)

    def test_missing_files(self, mitbih):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            load_mitbih(mitbih / "nowhere")
        (mitbih / "mitbih_60s.npz").unlink()
        with pytest.raises(FileNotFoundError, match=r"expected mitbih_60s\.npz in .*, found no"):
            load_mitbih(mitbih, part="strips")
        assert len(load_mitbih(mitbih).X_test)

    def test_wrong_file(self, mitbih):
        expected = r"the arrays \['y', 'class_names', 'rr'\].*it holds \['X', 'record'"
        with pytest.raises(ValueError, match=expected):
            load_mitbih(mitbih / "mitbih_60s.npz")

    def test_damaged(self, mitbih):
        check_damaged(mitbih / "mitbih_beats.npz", load_mitbih)

    @pytest.mark.parametrize(
        ("parameters", "message"),
        [
            ({"part": "minutes"}, "'beats' or 'strips', got 'minutes'"),
            ({"classes": ("N", "X")}, r"\['F', 'N', 'Q', 'S', 'V'\].*got \('N', 'X'\)"),
            ({"classes": ()}, r"got \(\)"),
            ({"test_records": [101, 999]}, r"some, not all, of \[101.*got \[101, 999\]"),
            ({"test_records": RECORDS}, "not all"),
            ({"test_records": []}, r"got \[\]"),
            ({"window": 512}, "strips only, got window=512"),
            ({"part": "strips", "step": 512}, "step together with window, got step=512"),
            ({"part": "strips", "window": 21601}, "at most 21600 samples, got window=21601"),
        ],
    )
    def test_refuses(self, mitbih, parameters, message):
        with pytest.raises(ValueError, match=message):
            load_mitbih(mitbih, **parameters)


class TestNstdb:
    @pytest.mark.parametrize("name", ["", "nstdb_noise.npz"])
    def test_halves(self, nstdb, name):
        data = load_nstdb(nstdb / name)
        assert data.noise_train.shape == data.noise_test.shape == (2, 500)
        assert data.noise_train.dtype == np.float32
        assert data.sampling_rate == 360.0
        np.testing.assert_allclose(data.noise_train[0], 0.005 * np.arange(500), rtol=1e-6)
        np.testing.assert_allclose(data.noise_test[1], -0.005 * np.arange(500, 1000), rtol=1e-6)

    def test_kind_and_fraction(self, nstdb):
        data = load_nstdb(nstdb, kind="bw", train_fraction=0.25)
        assert data.noise_train.shape == (2, 250)
        np.testing.assert_allclose(data.noise_test[0], 0.01 * np.arange(250, 1000), rtol=1e-6)

    def test_missing(self, nstdb):
        with pytest.raises(ValueError, match=r"arrays \['em'\].*it holds \['ma', 'bw'"):
            load_nstdb(nstdb, kind="em")
        (nstdb / "nstdb_noise.npz").unlink()
        with pytest.raises(FileNotFoundError, match=r"expected nstdb_noise\.npz in "):
            load_nstdb(nstdb)

    def test_damaged(self, nstdb):
        check_damaged(nstdb / "nstdb_noise.npz", load_nstdb)

    @pytest.mark.parametrize("fraction", [0.0, 1.0])
    def test_refuses_a_fraction(self, nstdb, fraction):
        with pytest.raises(ValueError, match=f"between 0 and 1, got {fraction}"):
            load_nstdb(nstdb, train_fraction=fraction)
