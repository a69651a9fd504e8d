"""A line that says how far a training is."""

import math
import shutil
import sys
import time

__all__ = ["ProgressLine"]

_WIDTH = 20  # of the bar, in characters, at most
_NARROWEST = 5
_PAUSE = 0.1  # seconds between two drawings on a terminal
_LONG, _VERY_LONG = 1.0, 60.0  # seconds after which an epoch is shown that has not ended


class ProgressLine:
    """How far a training is, on standard error: a bar, losses and the time left.

    A terminal shows one line that is drawn again and again; anything else, such as a file or a
    notebook, gets a line for every tenth of the epochs, and one a minute while an epoch lasts.

    Parameters
    ----------
    n_epochs : int
        To be trained in all.
    n_done : int, default=0
        Of these, those that an earlier process trained.
    """

    def __init__(self, n_epochs, n_done=0):
        self.n_epochs, self.first = n_epochs, n_done
        self.stream = sys.stderr
        self.is_terminal = getattr(self.stream, "isatty", bool)()
        self.start = time.perf_counter()
        self.last_time, self.last_epoch = -float("inf"), n_done

    def update(self, epoch, row):
        """Show the history's ``row`` of the ``epoch``-th epoch, if it is time to."""
        if self._is_due(epoch):
            self.show(epoch, row)

    def show(self, epoch, row):
        """Show a row, and how long is left after so many epochs, the last of them unfinished."""
        seconds = (time.perf_counter() - self.start) / (epoch - self.first)
        self._show(epoch, row, f"{_duration(seconds * (self.n_epochs - epoch))} left")

    def is_late(self):
        """Whether nothing was shown for long, so that an epoch should be that has not ended."""
        pause = _LONG if self.is_terminal else _VERY_LONG
        return time.perf_counter() - max(self.start, self.last_time) >= pause

    def close(self, epoch, row):
        """Show the last epoch and how long the training took; leave the line."""
        if epoch > self.first:
            self._show(epoch, row, f"took {_duration(time.perf_counter() - self.start)}")
        if self.is_terminal and math.isfinite(self.last_time):
            self._write("\n")

    def _is_due(self, epoch):
        if epoch == self.n_epochs:  # which close shows
            return False
        if self.is_terminal:
            return time.perf_counter() - self.last_time >= _PAUSE
        return epoch * 10 // self.n_epochs > self.last_epoch * 10 // self.n_epochs

    def _show(self, epoch, row, note):
        if self.is_terminal:
            room = shutil.get_terminal_size().columns - 1
            line = format_line(epoch, self.n_epochs, row, note, room)
            self._write(f"\r{line[:room]:{room}s}")
        else:
            self._write(format_line(epoch, self.n_epochs, row, note) + "\n")
        self.last_time, self.last_epoch = time.perf_counter(), epoch

    def _write(self, text):
        if self.stream is not None:  # as in a program without a console
            self.stream.write(text)
            self.stream.flush()


def format_line(epoch, n_epochs, row, note, room=math.inf):
    """One line of progress; where there is little room, the bar is what gives way."""
    parts = [f"epoch {math.ceil(epoch):{len(str(n_epochs))}d}/{n_epochs}"]
    if "train_loss" in row:
        parts.append(f"loss {row['train_loss']:.4g}")
    if "valid_score" in row:
        parts.append(f"validation score {row['valid_score']:.4g}")
    parts.append(note)
    width = min(_WIDTH, room - len("  ".join([*parts, "[]"])))
    if width >= _NARROWEST:
        filled = int(width * epoch // n_epochs)
        parts.insert(1, f"[{'#' * filled}{'-' * (width - filled)}]")
    return "  ".join(parts)


def _duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
