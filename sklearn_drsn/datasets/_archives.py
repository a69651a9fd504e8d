"""Archives of arrays, the compact files of published recordings."""

from contextlib import contextmanager

import numpy as np


@contextmanager
def naming_damage(path, kind):
    """Give whatever goes wrong in a file, as a ValueError, its name."""
    try:
        yield
    except Exception as error:  # of all the ways in which a file may be damaged
        raise ValueError(f"{path} is damaged or no {kind} file: {error}") from error


def read_archive(path, name, keys):
    """Arrays of a compact file, which `path` is or holds."""
    if not path.exists():
        raise FileNotFoundError(f"expected a file or folder at {path}, found nothing")
    file = path / name if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"expected {name} in {path}, found no such file")
    # NumPy leaves a damaged file open that it opened itself.
    with file.open("rb") as opened, naming_damage(file, "NPZ"), np.load(opened) as archive:
        held = archive.files
        arrays = {key: archive[key] for key in keys if key in held}
    missing = [key for key in keys if key not in arrays]
    if missing:
        raise ValueError(f"expected the arrays {missing} in {file}, it holds {held}")
    return arrays
