"""Picture of a signal or image before and after denoising."""

import numpy as np
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from sklearn_drsn.inspection._drawing import COLORS, make_axes
from sklearn_drsn.metrics import snr_db, snr_improvement

__all__ = ["DenoisingDisplay"]


class DenoisingDisplay:
    """One signal or image: noisy, denoised, true, and what was taken away.

    What was taken away, the residual ``noisy - denoised``, should look like noise; where it shows
    the signal, detail was lost.

    Parameters
    ----------
    noisy, denoised : array-like of shape (length,) or (height, width)
        A single channel.
    truth : array-like of the same shape, default=None
        What it would be without noise, if known.

    Attributes
    ----------
    noisy, denoised, residual : ndarray of shape (length,) or (height, width)
    truth : ndarray or None
    snr_db : float or None
        Of the noisy input, in decibels; None without truth, or where the truth is zero throughout.
    gain_db : float or None
        What denoising gained over it.
    axes_ : ndarray of matplotlib axes
        After :meth:`plot`.
    figure_ : matplotlib figure

    Examples
    --------
    >>> from sklearn_drsn import SoftThresholdTransformer
    >>> from sklearn_drsn.datasets import make_donoho_signals
    >>> from sklearn_drsn.inspection import DenoisingDisplay
    >>> from sklearn_drsn.noise import add_noise
    >>> clean, names = make_donoho_signals()
    >>> X = add_noise(clean, sigma=1.0, random_state=0)
    >>> display = DenoisingDisplay.from_estimator(SoftThresholdTransformer().fit(X), X, clean)
    >>> display.gain_db > 5
    True
    """

    def __init__(self, noisy, denoised, truth=None):
        self.noisy, self.denoised = np.asarray(noisy), np.asarray(denoised)
        self.truth = None if truth is None else np.asarray(truth)
        for name in ("denoised", "truth"):
            array = getattr(self, name)
            if array is not None and array.shape != self.noisy.shape:
                raise ValueError(
                    f"expected {name} of the shape of noisy, {self.noisy.shape}, got {array.shape}"
                )
        if self.noisy.ndim not in (1, 2):
            raise ValueError(f"expected one channel of 1 or 2 dimensions, got {self.noisy.shape=}")
        self.residual = self.noisy.astype(np.float64) - self.denoised  # small integers wrap
        self.snr_db = self.gain_db = None
        if self.truth is not None:
            self.gain_db = snr_improvement(self.truth[None], self.denoised[None], self.noisy[None])
            self.snr_db = snr_db(self.truth[None], self.noisy[None]) if self.truth.any() else None

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, index=0, channel=0, image=None, channel_axis=1, ax=None
    ):
        """Denoise one sample and draw it.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict`` or else ``transform`` that returns the shape of `X`.
        X : array-like of shape (n_samples, length), (n_samples, n_channels, length), \
                (n_samples, height, width) or 4-D
            Noisy samples.
        y : array-like of the shape of X, default=None
            Clean ones.
        index : int, default=0
            Which sample.
        channel : int, default=0
            Which channel of it.
        image : bool, default=None
            Whether samples of a 3-D `X` are images without channels. None takes them for images
            where the estimator has a ``channel_axis``, as image restorers do, else for series.
        channel_axis : int, default=1
            Axis of the channels in a 4-D `X`; that of the estimator, if it has one, goes before.
        ax : matplotlib axes or array-like of them, default=None
            See :meth:`plot`.

        Returns
        -------
        display : DenoisingDisplay

        Raises
        ------
        ValueError
            If shapes differ.
        """
        check_is_fitted(estimator)
        if hasattr(estimator, "channel_axis"):  # of a single image
            image = True if image is None else image
            axis = estimator.channel_axis
            channel_axis = channel_axis if axis is None else axis + (axis >= 0)
        X = _safe_indexing(X, [index])
        y = None if y is None else _safe_indexing(y, [index])
        denoise = getattr(estimator, "predict", None) or estimator.transform
        return cls.from_predictions(
            X, denoise(X), y, channel=channel, image=image, channel_axis=channel_axis, ax=ax
        )

    @classmethod
    def from_predictions(
        cls, X, y_pred, y=None, *, index=0, channel=0, image=None, channel_axis=1, ax=None
    ):
        """Draw one of several samples that were denoised before.

        Parameters
        ----------
        X, y_pred : array-like of shape (n_samples, length), (n_samples, n_channels, length), \
                (n_samples, height, width) or 4-D
            Noisy and denoised samples.
        y : array-like of the shape of X, default=None
            Clean ones.
        index, channel : int, default=0
            Which sample, and which channel of it.
        image : bool, default=None
            Whether samples of a 3-D `X` are images without channels. None takes them for series.
        channel_axis : int, default=1
            Axis of the channels in a 4-D `X`.
        ax : matplotlib axes or array-like of them, default=None
            See :meth:`plot`.

        Returns
        -------
        display : DenoisingDisplay

        Raises
        ------
        ValueError
            If shapes differ.
        """

        def choose(samples):
            sample = np.asarray(_safe_indexing(samples, [index]))[0]
            if sample.ndim == 3:
                return np.take(sample, channel, axis=channel_axis - (channel_axis > 0))
            return sample[channel] if sample.ndim == 2 and not image else sample

        return cls(choose(X), choose(y_pred), None if y is None else choose(y)).plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw signals in two panels, one above the other, or images side by side.

        Parameters
        ----------
        ax : matplotlib axes or array-like of them, default=None
            One that is divided into the panels, or as many as there are panels: two for a signal,
            three for an image, four with its truth. None makes a figure.

        Returns
        -------
        self : DenoisingDisplay

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        caller = f"{type(self).__name__}.plot"
        if self.noisy.ndim == 1:
            self.axes_ = make_axes(caller, ax, 2, sharex=True, figsize=(8, 4.5))
            self._plot_signal(*self.axes_)
        else:
            n_panels = 3 + (self.truth is not None)
            self.axes_ = make_axes(caller, ax, 1, n_panels, figsize=(3 * n_panels, 3.4))
            self._plot_images()
        self.figure_ = self.axes_[0].figure
        return self

    def _titles(self):
        noisy = "noisy" if self.snr_db is None else f"noisy, {self.snr_db:.1f} dB"
        denoised = "denoised" if self.gain_db is None else f"denoised, {self.gain_db:+.1f} dB"
        return noisy, denoised

    def _plot_signal(self, above, below):
        noisy, denoised = self._titles()
        above.plot(self.noisy, color="0.75", lw=0.8, label="noisy")
        above.plot(self.denoised, color=COLORS[0], lw=1.4, label="denoised")
        if self.truth is not None:
            above.plot(self.truth, color="black", lw=0.7, label="truth")
        above.set_title(f"{noisy} \N{RIGHTWARDS ARROW} {denoised}")
        above.legend(fontsize="small", ncols=3)
        below.plot(self.residual, color=COLORS[1], lw=0.8)
        below.set(title="residual: noisy minus denoised", xlabel="position")

    def _plot_images(self):
        images = dict(zip(self._titles(), (self.noisy, self.denoised), strict=True))
        if self.truth is not None:
            images["truth"] = self.truth
        # All in the grey values of the best one, so that brightness can be compared.
        best = self.denoised if self.truth is None else self.truth
        for panel, (title, image) in zip(self.axes_, images.items(), strict=False):
            panel.imshow(image, cmap="gray", vmin=best.min(), vmax=best.max())
            panel.set_title(title)
        largest = np.abs(self.residual).max() or 1.0
        self.axes_[-1].imshow(self.residual, cmap="gray", vmin=-largest, vmax=largest)
        self.axes_[-1].set_title("residual")
        for panel in self.axes_:
            panel.set_axis_off()
