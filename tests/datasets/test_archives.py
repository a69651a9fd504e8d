import re

import numpy as np
import pytest

from sklearn_drsn.datasets import load_cwru, load_mitbih, load_nstdb


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("cwru_12k_de.npz", load_cwru),
        ("mitbih_beats.npz", load_mitbih),
        ("nstdb_noise.npz", load_nstdb),
    ],
)
def test_damaged_files_are_named(tmp_path, name, load):
    file = tmp_path / name
    np.savez(file, meta="[]", X=np.arange(1000), ma=np.zeros((1000, 2)))
    whole = file.read_bytes()
    np.save(tmp_path / "array.npy", np.arange(1000))
    array = (tmp_path / "array.npy").read_bytes()
    for damaged in (b"", b"no archive", whole[:100], whole[: len(whole) // 2], whole[:-30], array):
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{re.escape(str(file))} is damaged or no NPZ file"):
            load(file)
