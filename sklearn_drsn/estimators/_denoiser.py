"""Denoising of series and images by a residual shrinkage network."""

import warnings
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.callback import with_callbacks
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_drsn.estimators._base import BaseNetworkEstimator
from sklearn_drsn.estimators._denoising import (
    CRITERIA,
    PatchScaler,
    hide,
    noise_levels,
    power,
    prepare_hidden,
    prepare_pairs,
    prepare_probes,
    prepare_synthetic,
    relative_noise,
    standardise,
    temper,
    varied,
    with_noise,
)
from sklearn_drsn.estimators._expectations import level_of_caller
from sklearn_drsn.estimators._patches import PatchNetwork, PatchSet, cover, map_tiles
from sklearn_drsn.estimators._samples import (
    check_finite,
    free_sample_shape,
    on_host,
    resolve_device,
    warn_if_transposed,
)
from sklearn_drsn.estimators._training import Settings, make_generator, make_network
from sklearn_drsn.layers import THRESHOLD_MODES
from sklearn_drsn.metrics import snr_improvement
from sklearn_drsn.networks import DenoisingDRSN

__all__ = ["SoftThresholdDenoiser"]

_NOISE_KINDS = {"gaussian", "laplacian", "pink", "impulse"}
_LONGEST_WHOLE = {1: 2048, 2: 64}  # longer samples are taught and denoised in pieces
_PIECE = {1: 1024, 2: 64}
_FEWEST_PATCHES = 256  # of an epoch
_N_COVERING = 1024  # patches that scaling is learnt from
_N_LEVELS = 256  # patches whose noise level is learnt from
_LEVEL_STEP = 8  # beyond as many patches denoised, one in so many has its noise level looked at
_LOUDER = 5.0  # by how much noise may exceed that of the training, in power over the signal's
# What a clean signal in the unit of X is never found to have.
_LARGEST_OFFSET, _SPREAD_OF_UNITS = 5.0, 0.3
# The least correlation with X, and the largest unit: whoever removes little of loud coloured noise
# may ask how little.
_PAIRS_TO_LEARN_FROM, _PAIRS_TO_SCORE = (0.1, 2.0), (-1.0, 20.0)
_N_PIECES, _STANDARD_ERRORS = 8, 3.0
_LARGEST = 1e150  # magnitude whose squares float64 holds


def _gives_columns(estimator):
    return getattr(estimator, "_n_dims", 2) == 2


class SoftThresholdDenoiser(OneToOneFeatureMixin, TransformerMixin, BaseNetworkEstimator):
    """Learn to denoise, from clean signals or from noisy ones alone.

    A residual shrinkage network predicts the noise of a signal and subtracts it; one network serves
    a range of noise levels. Only the share is subtracted that exceeds the network's usual error on
    clean signals (without them, on its own results), so that a signal which is nearly clean stays
    as it is.

    `X` holds a one-channel signal in each row, ``(n_samples, n_features)``, series of several
    channels, ``(n_samples, n_channels, length)``, or images,
    ``(n_samples, n_channels, height, width)``. The length of rows is fixed by `fit`; series and
    images may have any size later and are denoised in overlapping tiles. A single long recording
    is a training set too. Patches are scaled one by one, so a scaler before the denoiser is not
    needed; constant ones, as of padding and gaps, teach nothing.

    Parameters
    ----------
    depth : int, default=6
        Number of resolutions of the network, with two residual units each; as many as the patches
        have room for.
    width : int, default=32
        Channels of the units; half as many at the finest resolution.
    threshold_mode : {"channel_wise", "channel_shared", "proportional", \
            "squeeze_excitation", None}, default="channel_wise"
        What a unit does to its features: shrink them by a threshold of each sample and channel,
        of each sample, or by a learnt share of each channel's mean magnitude, scale them without a
        threshold, or neither. Without clean signals None has measured best.
    kernel_size : int, default=5
        Odd width of the units' convolutions.
    supervision : {"auto", "clean", "self", "synthetic"}, default="auto"
        What the network learns from.

        - "clean": `y` holds the clean signals. Half of the patches are taught with the noise of
          another one, at their own level.
        - "self": noisy signals alone, by `self_loss`.
        - "synthetic": `X` holds clean signals; `noise` is added to them at an SNR in `snr_db`.
        - "auto": "clean" if `y` holds numbers, integers or floats, and has the shape of `X`, with
          more than one value per sample; any other `y`, such as the labels in a pipeline, is
          ignored and the choice is "self".
    self_loss : {"sure", "blind_spot"}, default="sure"
        "sure": Stein's unbiased risk estimate with an estimated noise level, for white Gaussian
        noise only; other noise, such as drift or hum, is left in. "blind_spot": predict values
        hidden from the network, for noise of any distribution that is independent from value to
        value; four to five times slower when it denoises.
    noise : {"gaussian", "laplacian", "pink", "impulse"}, tuple of them or ndarray of shape \
            (n_recordings, n_values), default="gaussian"
        Noise of "synthetic" supervision: a kind of :func:`~sklearn_drsn.noise.add_noise`, one of
        several in every batch, or, for series, recordings of noise that
        :func:`~sklearn_drsn.noise.add_recorded_noise` cuts stretches from.
    snr_db : tuple of two floats, default=(-5.0, 15.0)
        Range of the signal-to-noise ratio of "synthetic" supervision, the mean of a patch left
        out. As of pairs, the noise of half of the patches is turned down further, by up to 35 dB.
    window_length : int or None, default=None
        Length of the training windows, or side of the patches of images. None takes series of up
        to 2048 values and images of up to 64 pixels whole, else windows of 1024 and patches of 64.
    tile_length : int or None, default=None
        Length, or side, of the tiles in which longer signals are denoised. None takes the size of
        the training windows. Neighbouring tiles share a quarter of it.
    optimizer : {"adamw", "adam", "sgd", "nadam"} or torch optimizer class, default="adamw"
        "sgd" has momentum 0.9.
    lr : float, default=0.01
        Learning rate; the peak of "one_cycle".
    lr_schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle" rises over 30 % of the steps, falls along a cosine and stays near zero for the
        last tenth; "step" takes lr, lr/10 and lr/100 for 40, 40 and 20 % of the epochs.
    weight_decay : float, default=0.01
        Of the weights of convolutions and linear layers.
    max_epochs : int, default=40
        Passes over the training set, as many windows as cover it but no fewer than 256.
    batch_size : int, default=32
        Windows per step, at least 2.
    early_stopping : bool, default=False
        Hold out a part of the training set (of a single recording its end), stop when its loss no
        longer improves and restore the weights of the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Share held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without a better validation loss after which `early_stopping` stops.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1". One that
        the machine lacks is an error.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" computes the network under autocast.
    compile : bool, default=False
        Run the network through ``torch.compile``; worth it for long fits only.
    callbacks : list of skorch callbacks or None, default=None
        Called by ``net_`` while it trains; those that make the net predict, as EpochScoring does,
        are not supported. scikit-learn's callbacks go through ``set_callbacks``.
    warm_start : bool, default=False
        Let the next `fit` keep weights and optimizer state and train `max_epochs` more.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if missing, in which `fit` keeps its state after epochs. One that was killed
        or interrupted goes on from there when it is called again with the same data and
        parameters; on the CPU it ends with the bits of an undisturbed one. With
        ``random_state=None`` it goes on with the seed that it began with. A fit that comes to its
        end removes its files. A folder that cannot be written to is an OSError, a disk that fills
        up later a warning. Callbacks begin anew, with a warning; code is known by its name only.
    verbose : int, default=0
        1 shows a bar on standard error, with loss, validation score and time left; 2 or more
        prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the windows, the noise and the held-out part. With an int a
        fit moves no global random state and, with the same number of threads, gives the same bits
        every time.

    Attributes
    ----------
    supervision_ : {"clean", "self", "synthetic"}
        What was done.
    noise_level_ : tuple of two floats
        Lowest and highest noise level that the network was taught with: the standard deviation of
        white noise, estimated, as a share of that of the window. Noisier signals (by 7 dB in the
        noise-to-signal ratio) are denoised with a warning, and, after self-supervised training,
        more nearly clean ones too. In short windows estimates scatter up to one, pure noise, and
        nothing is noisier.
    n_features_in_ : int
        Length of the rows of a 2-D `X`, else the number of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names of `X`, if all are strings.
    window_length_ : int or tuple of two ints
        Size of the training windows.
    net_ : skorch net
        The trained net; ``net_.module_`` is the :class:`~sklearn_drsn.networks.DenoisingDRSN`.
    device_ : str
        Device of the network.
    n_iter_ : int
        Epochs trained.
    best_epoch_ : int
        Epoch of the best validation loss, or the last one without validation.
    history_ : list of dict
        Per epoch: epoch, train_loss, valid_loss, valid_score, lr, seconds. The loss is in units of
        the windows' variance; the validation score is minus the loss.

    See Also
    --------
    SoftThresholdTransformer : Classical shrinkage, which needs no training.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, :doi:`10.1109/TII.2019.2943898`.

    S. Soltanayev, S. Y. Chun, "Training Deep Learning Based Denoisers without Ground Truth Data",
    NeurIPS 2018, :arxiv:`1803.01314`.

    J. Batson, L. Royer, "Noise2Self", ICML 2019, :arxiv:`1901.11365`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import SoftThresholdDenoiser
    >>> from sklearn_drsn.datasets import make_ecg_beats
    >>> from sklearn_drsn.noise import add_noise
    >>> clean, _ = make_ecg_beats(300, random_state=0)
    >>> X = add_noise(clean, snr_db=0.0, random_state=1)
    >>> denoiser = SoftThresholdDenoiser(depth=3, width=8, max_epochs=15, random_state=0)
    >>> denoiser.fit(X[:250], clean[:250]).score(X[250:], clean[250:]) > 6  # dB gained
    True
    """

    _network = DenoisingDRSN
    _parameter_constraints = {
        **BaseNetworkEstimator._parameter_constraints,
        "depth": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "threshold_mode": [StrOptions({mode for mode in THRESHOLD_MODES if mode}), None],
        "kernel_size": [Interval(Integral, 1, None, closed="left")],
        "supervision": [StrOptions({"auto", "clean", "self", "synthetic"})],
        "self_loss": [StrOptions({"sure", "blind_spot"})],
        "noise": [StrOptions(_NOISE_KINDS), tuple, list, np.ndarray],
        "snr_db": [tuple, list],
        "window_length": [Interval(Integral, 2, None, closed="left"), None],
        "tile_length": [Interval(Integral, 2, None, closed="left"), None],
    }

    def __init__(
        self,
        depth=6,
        width=32,
        *,
        threshold_mode="channel_wise",
        kernel_size=5,
        supervision="auto",
        self_loss="sure",
        noise="gaussian",
        snr_db=(-5.0, 15.0),
        window_length=None,
        tile_length=None,
        optimizer="adamw",
        lr=0.01,
        lr_schedule="one_cycle",
        weight_decay=0.01,
        max_epochs=40,
        batch_size=32,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        precision="float32",
        compile=False,
        callbacks=None,
        warm_start=False,
        checkpoint_dir=None,
        verbose=0,
        random_state=None,
    ):
        self.depth = depth
        self.width = width
        self.threshold_mode = threshold_mode
        self.kernel_size = kernel_size
        self.supervision = supervision
        self.self_loss = self_loss
        self.noise = noise
        self.snr_db = snr_db
        self.window_length = window_length
        self.tile_length = tile_length
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.verbose = verbose
        self.random_state = random_state

    @with_callbacks
    def fit(self, X, y=None):
        """Train the network from scratch, or further with `warm_start`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, n_channels, length) or \
                (n_samples, n_channels, height, width)
            Noisy signals; clean ones with ``supervision="synthetic"``.
        y : array-like of the shape of X, default=None
            Clean signals, in the unit of `X`. With ``supervision="auto"`` labels and other targets
            are ignored, with a warning if they are numbers, more than one per sample and half as
            many as there are in `X` or more.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If a parameter or the data are not as described, or `y` does not look like `X` minus
            noise: correlation with `X` below 0.1, more than 1.5 times its variance, or another
            unit.
        """
        with self._fitting(X, y) as train:
            self._check_parameters()
            goes_on = self.warm_start and hasattr(self, "net_")
            X = self._check_X(X, reset=not goes_on)
            self.supervision_ = self._supervision_for(X, y)
            self._check_recordings(X)
            self._teacher = self.self_loss if self.supervision_ == "self" else self.supervision_
            clean = self._check_clean(X, y) if self.supervision_ == "clean" else None
            if goes_on and any(np.less(X.shape[2:], self._window)):
                raise ValueError(
                    f"training goes on with windows of {self._window}, got samples of "
                    f"{X.shape[2:]}, which are shorter"
                )
            seed = train.seed(goes_on, X=X, y=clean)
            if not goes_on:
                self._learn_window(X.shape[2:])
                self._scale = PatchScaler(varied(cover(X, self._window, _N_COVERING)))
            net = self._continued_net() if goes_on else self._new_net(seed)
            samples, validation = self._patch_sets(X, clean, seed)
            self._learn_noise_level(samples)
            train(net, samples, validation, patience=self._patience())
            self._learn_error(samples, X if self.supervision_ == "synthetic" else clean)
        return self

    def predict(self, X):
        """Denoised signals; the same as ``transform``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, n_channels, length) or \
                (n_samples, n_channels, height, width)
            Noisy signals.

        Returns
        -------
        ndarray of the shape of X
            In float64.

        Raises
        ------
        ValueError
            If `X` is not like the samples in `fit`, or holds NaN or infinity (the message names
            the sample).
        """
        return self._denoised(X)

    def transform(self, X):
        """Denoised signals; the same as ``predict``.

        Parameters
        ----------
        X : array-like
            Noisy signals of the kind seen in `fit`.

        Returns
        -------
        ndarray of the shape of X
            In float64.
        """
        return self._denoised(X)

    def score(self, X, y=None):
        """How well the noise is removed; greater is better.

        Parameters
        ----------
        X : array-like
            Noisy signals of the kind seen in `fit`.
        y : array-like of the shape of X, default=None
            Clean signals in the unit of `X`, integers or floats. Labels and other targets are
            ignored; half as many numbers as there are in `X` or more are refused after `fit` took
            clean signals and ignored with a warning otherwise, unless ``supervision="self"``.

        Returns
        -------
        float
            With clean signals the mean gain in decibels over doing nothing, minus infinity if
            there was nothing to do in a sample. Without, minus the mean squared error of values
            hidden from the network, as a share of the variance of each sample: it compares
            denoisers where the noise is independent from value to value. After "synthetic"
            training, where `X` itself is given as `y`, the gain is that in noise drawn with the
            seed of the fit: ``search.fit(X_clean, X_clean)``.

        Raises
        ------
        ValueError
            If `X` is not like the samples in `fit`, or `y`, where it holds clean signals, not like
            `X`.
        """
        check_is_fitted(self)
        self._check_parameters()
        X = self._check_X(X, reset=False)
        is_clean = self._looks_clean(X, y, as_in_fit=self.supervision_ == "clean")
        clean = self._check_clean(X, y, _PAIRS_TO_SCORE) if is_clean else None
        if clean is not None and self.supervision_ == "synthetic" and _same(X, clean):
            X, clean = self._noisy_pairs(clean)
        if clean is not None:
            return float(snr_improvement(clean, self._denoise(X), X))
        _, _, std = standardise(X)
        error = (self._denoise(X, hidden=True) - X) / std
        return -float(np.square(error).mean())

    @available_if(_gives_columns)
    def get_feature_names_out(self, input_features=None):
        """Names of the columns, which are those of the input; not for series and images.

        Parameters
        ----------
        input_features : array-like of str or None, default=None
            Names in place of those seen in `fit`.

        Returns
        -------
        ndarray of str objects
            A name for each column.
        """
        return super().get_feature_names_out(input_features)

    # --- checks ----------------------------------------------------------------------------------

    def _check_parameters(self):
        super()._check_parameters()
        if not isinstance(self.noise, str | np.ndarray) and not (
            self.noise
            and all(isinstance(kind, str) and kind in _NOISE_KINDS for kind in self.noise)
        ):
            raise ValueError(
                f"noise takes kinds out of {sorted(_NOISE_KINDS)}, or an array of recordings, got "
                f"{self.noise!r:.200}"
            )
        numbers = len(self.snr_db) == 2 and all(isinstance(end, Real) for end in self.snr_db)
        if not numbers or not -np.inf < self.snr_db[0] <= self.snr_db[1] < np.inf:
            raise ValueError(f"snr_db must hold a lowest and a highest ratio, got {self.snr_db!r}")

    def _check_recordings(self, X):
        if self.supervision_ == "synthetic" and isinstance(self.noise, np.ndarray) and X.ndim > 3:
            raise ValueError(
                "noise may be recordings where samples are series, got images of shape "
                f"{X.shape[1:]}; expected kinds out of {sorted(_NOISE_KINDS)}"
            )

    def _check_X(self, X, *, reset):
        """X as (n_samples, n_channels, ...)."""
        X = self._validate(X, reset=reset, ensure_all_finite=False)
        if X.ndim > 4 or X.size == 0:
            raise ValueError(
                "expected X of shape (n_samples, n_features), (n_samples, n_channels, length) or "
                f"(n_samples, n_channels, height, width), without empty axes, got {X.shape}"
            )
        if reset:
            warn_if_transposed(X, stacklevel=4)  # the caller of fit
            self._n_dims = X.ndim
        check_finite(X, "Input X contains NaN or infinity")
        _check_magnitude("X", X)
        return X[:, None] if X.ndim == 2 else X

    @property
    def _sample_shape(self):
        return free_sample_shape(self.n_features_in_, self._n_dims)

    def _supervision_for(self, X, y):
        if self.supervision == "auto":
            return "clean" if self._looks_clean(X, y) else "self"
        return self.supervision

    def _noisy_pairs(self, clean):
        """Samples with noise, drawn with the seed of the fit, and without; of those that got some.

        Rare impulses pass others by, in which there is nothing to gain.
        """
        rng = np.random.default_rng(self._settings["seed"])
        noisy = with_noise(rng, clean, noise=self.noise, snr_db=self.snr_db)
        hit = (noisy != clean).any(axis=tuple(range(1, clean.ndim)))
        return (noisy[hit], clean[hit]) if hit.any() else (noisy, clean)

    def _looks_clean(self, X, y, *, as_in_fit=False):
        """Whether y has the shape of X, as it was given, and holds signals or must be clean.

        Signals of another shape are passed over with a warning, or refused where those of the fit
        were clean.
        """
        shape = self._given_shape(X)
        try:
            y = self._as_numbers(y)
        except ValueError:  # lists of several lengths
            return False
        if y.ndim:
            check_consistent_length(X, y)
        # one number per sample is a label or a target
        signals = y.dtype.kind in "iuf" and y.size > len(X)
        # more values than targets are likely to have
        many = signals and 2 * y.size >= X.size
        if self.supervision != "self" and many and y.shape != shape:
            if as_in_fit:
                raise _other_shape(y.shape, shape)
            warnings.warn(
                f"y of shape {y.shape} is not used: clean signals must have the shape of X, "
                f'{shape}. If y holds other targets, set supervision="self"',
                UserWarning,
                stacklevel=level_of_caller(),
            )
        return y.shape == shape and (signals or self.supervision == "clean")

    def _as_numbers(self, y):
        """Array of y, its nullable columns and objects in float64 where they are numbers."""
        array = np.asarray(on_host(y))
        if array.dtype.kind != "O":
            return array
        try:
            checks = {"ensure_2d": False, "allow_nd": True, "ensure_all_finite": False}
            return self._as_array(y, dtype=np.float64, **checks)
        except (TypeError, ValueError):  # labels
            return array

    def _given_shape(self, X):
        return X.shape if self._n_dims > 2 else (len(X), *X.shape[2:])

    def _check_clean(self, X, y, limits=_PAIRS_TO_LEARN_FROM):
        if y is None:
            raise ValueError('supervision="clean" needs clean signals as y, got y=None')
        y, shape = np.asarray(self._as_numbers(y), np.float64), self._given_shape(X)
        if y.shape != shape:
            raise _other_shape(y.shape, shape)
        y = y.reshape(X.shape)
        check_finite(y, "y contains NaN or infinity")
        _check_magnitude("y", y)
        self._check_pair(standardise(X), standardise(y), *limits)
        return y

    def _check_pair(self, noisy, clean, least_correlation, largest_unit):
        (x, mean), (y, clean_mean) = ((scaled * std, mean) for scaled, mean, std in (noisy, clean))
        x_power, y_power = np.square(x).mean(), np.square(y).mean()
        if x_power == y_power == 0:
            return
        correlation = (x * y).mean() / np.sqrt(x_power) / np.sqrt(y_power) if y_power else 0.0
        offset = np.abs((mean - clean_mean).mean(axis=0)).max()
        unlike = correlation < least_correlation or y_power > 1.5 * x_power
        apart = offset > _LARGEST_OFFSET * np.sqrt(x_power)
        if unlike or apart or self._in_other_units(x, y, largest_unit):
            raise ValueError(
                "y does not look like X minus noise: its correlation with X is "
                f"{correlation:.3g} (expected at least {least_correlation}) and its variance "
                f"{y_power:.3g}, that of X {x_power:.3g} (expected at most 1.5 times, and not "
                f"another unit); their means differ by {offset:.3g}. If y holds labels, set "
                'supervision="self"; if X went through a scaler, leave it out, the denoiser scales '
                "by itself"
            )

    def _in_other_units(self, x, y, largest):
        """Whether X is a multiple of y, as a whole or, after a scaler, from column to column."""
        unit = np.sqrt(np.square(y).mean())
        x, y = x / unit, y / unit
        if np.subtract(*_multiple(x, y)) > largest:
            return True
        if self._n_dims > 2:
            return False
        y_power, product = np.square(y).mean(axis=0), (x * y).mean(axis=0)
        by_chance = np.square(x).mean() / len(x)  # what noise spreads the columns' units
        known = y_power > 0
        spread = (np.square(product - y_power)[known] / y_power[known]).sum() / y_power.sum()
        return spread > _SPREAD_OF_UNITS + 2 * by_chance

    # --- training --------------------------------------------------------------------------------

    def _patience(self):
        return self.n_iter_no_change if self.early_stopping else None

    def _learn_window(self, sizes):
        dim = len(sizes)
        longest = self.window_length or _LONGEST_WHOLE[dim]
        piece = self.window_length or _PIECE[dim]
        self._window = tuple(size if size <= longest else int(piece) for size in sizes)
        self.window_length_ = self._window[0] if dim == 1 else self._window

    def _patch_sets(self, X, clean, seed):
        """What to train on, and what to validate with or None."""
        targets = clean
        if self._teacher == "sure":
            levels = noise_levels(X)
            targets = np.broadcast_to(levels.reshape(*levels.shape, *[1] * (X.ndim - 2)), X.shape)
        if not self.early_stopping:
            return self._patch_set(X, targets), None
        kept, held_out = self._hold_out(X, seed)
        parts = [(X[part], None if targets is None else targets[part]) for part in (kept, held_out)]
        return [self._patch_set(*part) for part in parts]

    def _hold_out(self, X, seed):
        """Samples, or parts of a single recording, to train on and to validate with."""
        if len(X) > 1:
            rows = np.arange(len(X))
            kept, held_out = train_test_split(
                rows, test_size=self.validation_fraction, random_state=seed
            )
            return kept, held_out
        length, window = X.shape[-1], self._window[-1]
        end = length - max(window, round(self.validation_fraction * length))
        if end < window:
            raise ValueError(
                f"early_stopping cannot divide a single sample of length {length} into windows of "
                f"{window} to train on and to validate with: expected a window_length of at most "
                f"{length // 2}"
            )
        return (..., slice(end)), (..., slice(end, None))

    def _patch_set(self, X, targets):
        covering = [
            -(-size // window) for size, window in zip(X.shape[2:], self._window, strict=True)
        ]
        n_patches = max(_FEWEST_PATCHES, len(X) * int(np.prod(covering)))
        prepare, options = {
            "clean": (prepare_pairs, {}),
            "synthetic": (prepare_synthetic, {"noise": self.noise, "snr_db": self.snr_db}),
            "sure": (prepare_probes, {}),
            "blind_spot": (prepare_hidden, {}),
        }[self._teacher]
        prepare = partial(_prepare_varied, partial(prepare, self._scale, **options))
        device = resolve_device(self._settings["device"])
        return PatchSet(X, targets, self._window, n_patches, prepare, device)

    def _learn_noise_level(self, samples):
        levels = relative_noise(self._some_patches(samples))
        self.noise_level_ = float(levels.min()), float(levels.max())
        self._error = np.zeros((1, self._n_channels, *[1] * self._dim))

    def _learn_error(self, samples, clean):
        """What the network takes off clean signals, for which its own results may stand in."""
        if clean is None:
            patches = self._run_as_taught(self._some_patches(samples))
        else:
            patches = self._scale(varied(cover(clean, self._window, _N_LEVELS)))[0]
        # The median, as signals that are called clean may hold noise of their own.
        self._error = np.median(self._removed(patches), axis=0, keepdims=True)

    def _removed(self, scaled):
        return power(scaled - self._run_as_taught(scaled))

    def _some_patches(self, samples):
        generator = make_generator(self._settings["seed"], "noise level")
        patches, extras = samples[samples.order(generator)[:_N_LEVELS]]
        patches = extras[0] if self.supervision_ == "self" else patches
        return patches.cpu().numpy().astype(np.float64)

    # --- the net ---------------------------------------------------------------------------------

    def _architecture_asked_for(self):
        shortest = min(self._window)
        stride = 2 if shortest >= 32 else 1
        room = max(1, int(np.log2(max(2, shortest / stride))) - 1)
        return {
            "n_channels": self._n_channels,
            "depth": min(self.depth, room),
            "width": self.width,
            "threshold_mode": self.threshold_mode,
            "kernel_size": self.kernel_size,
            "stem_stride": stride,
            "dim": self._dim,
        }

    def _make_net(self, weights=None):
        return make_network(
            Settings(**self._settings),
            lambda: self._network(**self._architecture),
            CRITERIA[self._teacher],
            None,
            kind=PatchNetwork,
            callbacks=self.callbacks,
            verbose=self.verbose,
            weights=weights,
        )

    @property
    def _dim(self):
        return len(self._window)

    @property
    def _n_channels(self):
        return 1 if self._n_dims == 2 else self.n_features_in_

    # --- denoising -------------------------------------------------------------------------------

    @property
    def _is_blind(self):
        return self._teacher == "blind_spot"

    def _denoised(self, X):
        check_is_fitted(self)
        self._check_parameters()
        X = self._check_X(X, reset=False)
        denoised = self._denoise(X)
        return denoised[:, 0] if self._n_dims == 2 else denoised

    def _denoise(self, X, *, hidden=False):
        levels, axes = [], tuple(range(2, X.ndim))

        def denoise(block):
            scaled, base, std = self._scale(block)
            moving = np.flatnonzero(np.ptp(block, axes).any(axis=1))
            if moving.size:
                step = 1 if len(levels) < _N_LEVELS else _LEVEL_STEP
                levels.extend(relative_noise(scaled[moving[::step]]))
            if hidden:
                output = self._run_hidden(scaled)
            else:
                output = temper(scaled, self._run_as_taught(scaled), self._error)
            return np.where(np.ptp(block, axes, keepdims=True) > 0, base + std * output, block)

        denoised = self._map_tiles(denoise, X)
        if levels:
            self._warn_if_out_of_range(np.array(levels))
        return denoised

    def _map_tiles(self, function, X):
        tile = self._window if self.tile_length is None else (self.tile_length,) * self._dim
        return map_tiles(function, X, tile, overlap=min(tile) // 4)

    def _run_as_taught(self, scaled):
        return self._run_hidden(scaled) if self._is_blind else self._run(scaled)

    def _run(self, scaled):
        return self.net_.run_block(scaled.astype(np.float32)).astype(np.float64)

    def _run_hidden(self, scaled):
        """Every value as predicted without seeing it."""
        result = np.empty_like(scaled)
        for masked, hidden in hide(scaled):
            result[..., hidden] = self._run(masked)[..., hidden]
        return result

    def _warn_if_out_of_range(self, levels):
        lowest, highest = self.noise_level_
        lowest = lowest if self.supervision_ == "self" else 0.0
        outside = (levels < 0.5 * lowest) | (_odds(levels) > _LOUDER * _odds(highest))
        if outside.any():
            warnings.warn(
                f"the estimated noise level of {outside.sum()} of {len(levels)} windows lies far "
                f"outside of the range {self.noise_level_} of the training data, the first at "
                f"{levels[outside][0]:.3g} of the standard deviation of the window; expect less of "
                "the result, or train with such windows too",
                UserWarning,
                stacklevel=level_of_caller(),
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _prepare_varied(prepare, rng, patches, targets):
    return prepare(rng, *varied(patches, targets))


def _other_shape(given, expected):
    return ValueError(f"clean signals must have the shape of X, {expected}, got {given}")


def _same(x, y):
    """Whether two arrays hold the same values, one of them as float32 maybe."""
    return np.abs(x - y).max() <= np.finfo(np.float32).eps * np.abs(y).max()


def _multiple(x, y):
    """By what y has to be multiplied to be like x, and by how much chance raises that at most.

    Noise resembles signals by chance, more so where it is coloured; what it does in one piece of a
    signal tells little of the next.
    """
    pieces = [np.array_split(a, min(_N_PIECES, a.shape[-1]), axis=-1) for a in (x, y)]
    products, squares = (
        np.array([(a * b).sum(axis=-1) for a, b in zip(*pair, strict=True)])
        for pair in (pieces, (pieces[1], pieces[1]))
    )
    factor = products.sum() / squares.sum()
    error = np.sqrt(np.square(products - factor * squares).sum()) / squares.sum()
    return factor, _STANDARD_ERRORS * error


def _check_magnitude(name, x):
    largest = float(max(-x.min(), x.max()))
    if largest > _LARGEST:
        raise ValueError(
            f"expected magnitudes of at most {_LARGEST:.0e} in {name}, whose squares float64 "
            f"holds, got {largest:.3g}"
        )


def _odds(level):
    """Power of the noise over that of the signal, from its share of the standard deviation."""
    share = np.minimum(np.square(level), 0.99)  # estimates of short patches may exceed one
    return share / (1 - share)
