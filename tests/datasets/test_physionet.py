import numpy as np
import pytest

from sklearn_drsn.datasets import load_mitbih, load_nstdb

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

    @pytest.mark.parametrize("fraction", [0.0, 1.0])
    def test_refuses_a_fraction(self, nstdb, fraction):
        with pytest.raises(ValueError, match=f"between 0 and 1, got {fraction}"):
            load_nstdb(nstdb, train_fraction=fraction)
