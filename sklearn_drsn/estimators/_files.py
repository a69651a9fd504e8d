"""Files that appear whole or not at all."""

import os
import secrets
import stat
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path, data):
    """Write bytes to a file beside ``path`` and put it in its place; on failure nothing is left.

    A link stays one, and a file that is replaced keeps its permissions.
    """
    path = Path(path)
    target = path.resolve() if path.is_symlink() else path
    if not target.parent.is_dir():
        raise FileNotFoundError(f"expected an existing folder, got {str(target.parent)!r}")
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            _copy_mode(target, temporary)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException as error:
        if isinstance(error, OSError):  # of a full disk, or naming the hidden file
            error.filename = str(path)
        temporary.unlink(missing_ok=True)
        raise


def _copy_mode(before, after):
    """Only where they differ: some file systems know one mode and refuse to set another."""
    if before.is_file() and before.stat().st_mode != after.stat().st_mode:
        after.chmod(stat.S_IMODE(before.stat().st_mode))
