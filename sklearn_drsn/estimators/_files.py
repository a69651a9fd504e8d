"""Files that appear whole or not at all."""

import os
import secrets
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path, data):
    """Write bytes to a file beside ``path`` and put it in its place; on failure nothing is left."""
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"expected an existing folder, got {str(path.parent)!r}")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        if isinstance(error, OSError):  # of a full disk, or naming the hidden file
            error.filename = str(path)
        temporary.unlink(missing_ok=True)
        raise
