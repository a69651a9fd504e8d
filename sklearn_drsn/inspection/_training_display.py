"""Picture of a training."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_drsn.inspection._drawing import COLORS, MARKERS, make_axes

__all__ = ["TrainingDisplay"]


class TrainingDisplay:
    """Loss, validation score and learning rate of every epoch.

    Parameters
    ----------
    history : list of dict
        Per epoch ``epoch``, ``train_loss``, ``valid_loss``, ``valid_score`` and ``lr``, as in
        ``history_``; NaN where nothing was validated.
    best_epoch : int, default=None
        Epoch to mark.

    Attributes
    ----------
    epoch, train_loss, valid_loss, valid_score, lr : ndarray of shape (n_epochs,)
    best_epoch : int or None
    axes_ : ndarray of matplotlib axes
        After :meth:`plot`.
    figure_ : matplotlib figure

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import DRSNClassifier
    >>> from sklearn_drsn.inspection import TrainingDisplay
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(40, 1, 32)), np.arange(40) % 2
    >>> model = DRSNClassifier(
    ...     depth=1, width=4, max_epochs=3, early_stopping=True, random_state=0
    ... ).fit(X, y)
    >>> TrainingDisplay.from_estimator(model).epoch
    array([1, 2, 3])
    """

    def __init__(self, history, *, best_epoch=None):
        if not history:
            raise ValueError("expected a history of at least one epoch, got none")
        for key in ("epoch", "train_loss", "valid_loss", "valid_score", "lr"):
            setattr(self, key, np.array([row[key] for row in history]))
        self.best_epoch = best_epoch

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Draw the training of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with a ``history_`` as the networks of this library have it. Of a pipeline pass
            the last step.
        ax : matplotlib axes or array-like of them, default=None
            See :meth:`plot`.

        Returns
        -------
        display : TrainingDisplay

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        TypeError
            If it keeps no history.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "history_"):
            raise TypeError(
                "expected an estimator with a history_ of its training, got "
                f"{type(estimator).__name__}; of a pipeline pass the last step"
            )
        return cls(estimator.history_, best_epoch=estimator.best_epoch_).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw panels of loss, validation score (if there is one) and learning rate.

        Parameters
        ----------
        ax : matplotlib axes or array-like of them, default=None
            One that is divided into the panels, or as many as there are panels; None makes a
            figure.

        Returns
        -------
        self : TrainingDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        validated = not np.isnan(self.valid_score).all()
        n_panels = 2 + validated
        self.axes_ = make_axes(
            f"{type(self).__name__}.plot",
            ax,
            n_panels,
            sharex=True,
            figsize=(6.4, 1.0 + 1.7 * n_panels),
        )
        self.figure_ = self.axes_[0].figure
        if self.best_epoch is not None and validated:
            for panel in self.axes_:
                label = f"best epoch, {self.best_epoch}"
                panel.axvline(self.best_epoch, color="0.4", ls="--", lw=1, label=label)
        self._plot_loss(self.axes_[0], validated)
        if validated:
            self.axes_[1].plot(self.epoch, self.valid_score, **_line(2, self.epoch))
            self.axes_[1].set_ylabel("validation score")
        self.axes_[-1].plot(self.epoch, self.lr, **_line(3, self.epoch))
        self.axes_[-1].set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
        self.axes_[-1].xaxis.get_major_locator().set_params(integer=True)
        for panel in self.axes_:
            panel.grid(alpha=0.3)
        self.figure_.align_ylabels(self.axes_)
        return self

    def _plot_loss(self, panel, validated):
        panel.plot(self.epoch, self.train_loss, label="training", **_line(0, self.epoch))
        losses = self.train_loss
        if validated:
            panel.plot(self.epoch, self.valid_loss, label="validation", **_line(1, self.epoch))
            losses = np.concatenate([losses, self.valid_loss])
        if np.nanmin(losses) > 0 and np.nanmax(losses) > 20 * np.nanmin(losses):
            panel.set_yscale("log")
        panel.set_ylabel("loss")
        panel.legend(fontsize="small")


def _line(number, epochs):
    """Style of a curve; single epochs need markers to be seen."""
    few = len(epochs) <= 30
    return {"color": COLORS[number], "marker": MARKERS[number] if few else None, "ms": 3.5}
