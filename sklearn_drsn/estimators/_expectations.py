"""Errors that say what was expected of a file, what came, and where; whom warnings point to."""

import sys
from contextlib import contextmanager

__all__ = ["expect", "level_of_caller", "naming"]


def expect(condition, expectation, got):
    """ValueError that names what was expected and what came unless the condition holds."""
    if not condition:
        raise ValueError(f"expected {expectation}, got {got!r:.200}")


@contextmanager
def naming(part):
    """Give whatever goes wrong, as a ValueError, the name of the part that is to blame."""
    try:
        yield
    except Exception as error:  # of all the ways in which a hostile file may be wrong
        reason = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{part}: {reason!s:.400}") from error


def level_of_caller():
    """How many calls lie between a warning and whoever called the library."""
    frame, level = sys._getframe(1), 1
    while frame and frame.f_globals["__name__"].split(".")[0] in ("sklearn", "sklearn_drsn"):
        frame, level = frame.f_back, level + 1
    return level
