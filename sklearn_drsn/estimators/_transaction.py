"""Fits that fail leave an estimator as it was."""

from contextlib import contextmanager

__all__ = ["transaction"]


@contextmanager
def transaction(estimator):
    """Undo every change of attributes if what follows fails, unless ``keep()`` was called."""
    before = dict(vars(estimator))
    kept = []
    try:
        yield lambda: kept.append(True)
    except BaseException:
        if not kept:
            vars(estimator).clear()
            vars(estimator).update(before)
        raise
