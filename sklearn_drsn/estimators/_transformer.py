"""Denoising of signals by shrinkage of their transform coefficients, without a network."""

import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_drsn.estimators._samples import check_sample_shape, free_sample_shape
from sklearn_drsn.estimators._transaction import transaction
from sklearn_drsn.wavelets import (
    BOUNDARIES,
    RULES,
    SHRINKAGES,
    Recipe,
    candidates,
    check_recipe,
    denoise,
    estimate_noise,
    estimated_errors,
    find_thresholds,
    highest_level,
)

__all__ = ["SoftThresholdTransformer"]


def _gives_columns(estimator):
    return getattr(estimator, "_n_dims", 2) == 2


class SoftThresholdTransformer(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Denoise signals by shrinking their wavelet coefficients; no training, no network.

    A signal is concentrated in few wavelet coefficients, white noise is spread evenly over all of
    them: what lies within a threshold is mostly noise and is removed, the rest is mostly signal.
    Sharp edges survive, which a moving average or a low-pass filter would smear.

    `X` holds a signal in each row, ``(n_samples, n_features)``, or signals of several channels,
    ``(n_samples, n_channels, length)``; with the latter the length may differ from that in `fit`.
    Every sample and channel is treated for itself, so that noise may be louder in some than in
    others. float32 and float64 are kept.

    Parameters
    ----------
    rule : {"fdr", "universal", "sure", "minimax", "bayes", "neighblock", "auto"} or float, \
            default="fdr"
        How the threshold follows from the coefficients and the noise's standard deviation `s`.

        - "fdr": the expected share of pure noise among the coefficients kept is `q` [1]_.
        - "universal": ``s * sqrt(2 log(length))``, above nearly all noise [2]_.
        - "sure": minimises Stein's unbiased estimate of the error of soft thresholding; where a
          band holds hardly any signal, its universal threshold [3]_.
        - "minimax": ``s * (0.3936 + 0.1829 log2(length))``, whose worst case is best [2]_.
        - "bayes": ``s ** 2 / s_x`` with the signal's standard deviation `s_x` in the band [4]_.
        - "neighblock": blocks of coefficients are shrunk together, by their power and that of
          their neighbours [5]_.
        - "auto": rule and wavelet that suit the training data best, chosen without clean signals;
          see the Notes.
        - a number, not negative: the threshold in units of `s`. With 0 nothing is removed.
    shrinkage : {"auto", "soft", "hard", "garrote", "firm"}, default="auto"
        What happens to coefficients beyond the threshold `t`: they are moved towards zero by `t`
        ("soft"), kept ("hard"), moved by ``t ** 2 / abs(x)`` ("garrote"), or moved less and less
        up to ``2 * t`` and kept beyond ("firm"). "auto" takes what the rule was derived for: hard
        for "fdr" and "universal", soft for "sure", "minimax", "bayes" and a number. "neighblock"
        has a factor of its own and admits "auto" only.
    domain : {"wavelet", "dct", None}, default="wavelet"
        Where coefficients are shrunk: in wavelet bands; in octaves of the discrete cosine
        transform, for signals made of few steady tones; or the values themselves, for signals
        that are zero most of the time.
    wavelet : str or tuple of str, default="sym4"
        Discrete wavelet of PyWavelets. "haar" suits steps, "sym8" smooth oscillations. With a tuple
        the mean of the denoised signals is taken, which often beats its best member, at the cost
        of all. With ``rule="auto"`` one more candidate.
    level : int or None, default=None
        Number of bands, one for each octave, that are shrunk; the coarser rest is kept. None takes
        as many, up to 10, as leave at least 16 coefficients of that rest; signals of fewer than 32
        values get level 0, at which the values themselves are shrunk. A level that the length
        forbids is lowered with a warning.
    boundary : str, default="periodization"
        How wavelets see the signal continued beyond its ends: by its other end, or one of
        PyWavelets' modes, such as "symmetric", at up to three times the cost.
    n_shifts : "all" or int, default="all"
        "all" takes the mean over all circular shifts of the signal (undecimated wavelets): it has
        less error and the result does not depend on where the signal starts. A number takes the
        mean over so many shifts (cycle spinning [6]_); 1 is the common decimated transform.
        It costs the same. Wavelets only.
    level_dependent : bool, default=True
        Whether every band has a threshold of its own. It has no effect on rules that do not look
        at the coefficients.
    noise_level : {"sample", "pooled"} or float, default="sample"
        Standard deviation of the noise: estimated from every sample and channel alone
        (:meth:`estimate_noise`), the median of these over the training set, for every channel, or
        a number in the units of `X`.
    q : float in (0, 1), default=0.05
        False discovery rate of "fdr". Lower values remove more.

    Attributes
    ----------
    rule_ : str or float
        The rule that is used; the one chosen with ``rule="auto"``.
    wavelet_ : str or tuple of str
        The wavelet that is used; the one chosen with ``rule="auto"``.
    noise_level_ : float or ndarray of shape (n_channels,)
        Noise level for all samples; only with ``noise_level="pooled"``.
    selection_report_ : list of dict
        The candidates from best to worst, with keys "rule", "wavelet" and "error", the estimated
        mean squared error in units of the noise variance; only with ``rule="auto"``.
    n_features_in_ : int
        Number of columns of `X` in `fit`, or of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of `X`, if it has names that are all strings.

    See Also
    --------
    sklearn_drsn.DRSNClassifier : Classify noisy signals without denoising them first.

    Notes
    -----
    **Thresholds** obey three conditions: (1) they are not negative, and positive wherever the noise
    level is, except with ``rule=0``; (2) per signal they are below its largest coefficient (for
    "neighblock" below the largest root mean square over a block and its neighbours), so that with
    all shifts a non-zero signal never vanishes, though single bands may be emptied; (3) they are
    computed from that signal alone, unless the noise level is pooled or given. Zero and constant
    signals come back unchanged.

    **White noise** is assumed: the noise level is read off the finest band and holds for all.
    Padding and gaps, 32 equal values in a row or more and a sixteenth of the signal, are left out
    of it.
    Where noise has more power at low frequencies, as drift has, it stays in the coarse bands.

    **All shifts at once** are computed with filters in Fourier space, a few microseconds for each
    thousand values and band. A threshold is found from a band's coefficients at all shifts. Blocks
    of "neighblock" begin at every coefficient for that reason, whatever `n_shifts` is. Memory is
    that of a few signals at a time, of each about 70 times its own: cut recordings of tens of
    millions of values into stretches.

    **rule="auto"** compares every rule with each of the wavelets "haar", "db2", "sym4" and "sym8",
    with the mean over these four and with `wavelet`, by the coupled bootstrap [7]_: noise `w` of
    the estimated level makes two signals, ``x + w / 2`` and ``x - 2 * w``, whose noise is
    independent, so that the one, denoised, can be judged by the other. This holds for hard
    thresholds, too, for which Stein's estimate does not; it is unbiased at a noise level raised by
    12 %. Up to 130,000 values are denoised with each of 30 candidates, which takes seconds: some
    rows of many, the middle of a long recording. The noise is drawn with a fixed seed: the same
    data give the same choice.

    References
    ----------
    .. [1] F. Abramovich, Y. Benjamini, "Adaptive thresholding of wavelet coefficients",
       Computational Statistics & Data Analysis 22(4), 1996. :doi:`10.1016/0167-9473(96)00003-5`
    .. [2] D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage",
       Biometrika 81(3), 1994. :doi:`10.1093/biomet/81.3.425`
    .. [3] D. L. Donoho, I. M. Johnstone, "Adapting to unknown smoothness via wavelet shrinkage",
       J. American Statistical Association 90(432), 1995. :doi:`10.1080/01621459.1995.10476626`
    .. [4] S. G. Chang, B. Yu, M. Vetterli, "Adaptive wavelet thresholding for image denoising and
       compression", IEEE Trans. Image Processing 9(9), 2000. :doi:`10.1109/83.862633`
    .. [5] T. T. Cai, B. W. Silverman, "Incorporating information on neighbouring coefficients into
       wavelet estimation", Sankhya B 63(2), 2001.
    .. [6] R. R. Coifman, D. L. Donoho, "Translation-invariant de-noising", Wavelets and Statistics,
       1995. :doi:`10.1007/978-1-4612-2544-7_9`
    .. [7] N. L. Oliveira, J. Lei, R. J. Tibshirani, "Unbiased risk estimation in the normal means
       problem via coupled bootstrap techniques", Electronic J. Statistics 18(2), 2024.
       :arxiv:`2111.09447`

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import SoftThresholdTransformer
    >>> from sklearn_drsn.datasets import make_donoho_signals
    >>> from sklearn_drsn.noise import add_noise
    >>> clean, _ = make_donoho_signals()
    >>> X = add_noise(clean, sigma=1.0, random_state=0)
    >>> denoiser = SoftThresholdTransformer().fit(X)
    >>> denoiser.estimate_noise(X).round(1)
    array([1., 1., 1., 1.])
    >>> bool(np.mean((denoiser.transform(X) - clean) ** 2) < 0.1)
    True
    """

    _parameter_constraints = {
        "rule": [StrOptions({*RULES, "auto"}), Interval(Real, 0, None, closed="left")],
        "shrinkage": [StrOptions({"auto", *SHRINKAGES})],
        "domain": [StrOptions({"wavelet", "dct"}), None],
        "wavelet": [str, tuple, list],
        "level": [Interval(Integral, 0, None, closed="left"), None],
        "boundary": [StrOptions(set(BOUNDARIES))],
        "n_shifts": [StrOptions({"all"}), Interval(Integral, 1, None, closed="left")],
        "level_dependent": ["boolean"],
        "noise_level": [
            StrOptions({"sample", "pooled"}),
            Interval(Real, 0, None, closed="left"),
        ],
        "q": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        rule="fdr",
        *,
        shrinkage="auto",
        domain="wavelet",
        wavelet="sym4",
        level=None,
        boundary="periodization",
        n_shifts="all",
        level_dependent=True,
        noise_level="sample",
        q=0.05,
    ):
        self.rule = rule
        self.shrinkage = shrinkage
        self.domain = domain
        self.wavelet = wavelet
        self.level = level
        self.boundary = boundary
        self.n_shifts = n_shifts
        self.level_dependent = level_dependent
        self.noise_level = noise_level
        self.q = q

    def fit(self, X, y=None):
        """Learn the shape of samples, and the noise level or the rule if they are to be learnt.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_channels, length)
            Noisy signals.
        y : None
            Ignored.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            If a parameter or a wavelet is unknown, `shrinkage` is given with "neighblock", or `X`
            has other dimensions, an empty axis, NaN or infinity.
        """
        self._validate_params()
        recipe = self._asked_for()
        check_recipe(recipe)
        with transaction(self):
            for learnt_before in ("noise_level_", "selection_report_"):
                vars(self).pop(learnt_before, None)
            X = self._check_X(X, reset=True)
            self._options = self._options_asked_for()
            self._level_for(X)
            if self.noise_level == "pooled":
                self.noise_level_ = np.median(self._estimate(X), axis=0)
            if self.rule == "auto":
                recipe = self._choose(X, recipe)
            self.rule_, self.wavelet_ = recipe.rule, recipe.wavelet
        return self

    def transform(self, X):
        """Remove noise, with the parameters that `fit` found.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_channels, length)
            Noisy signals.

        Returns
        -------
        ndarray of the shape of X
            Denoised signals.

        Raises
        ------
        ValueError
            If `X` is not like the samples in `fit`, holds NaN or infinity (the message names the
            sample), or values so large that their sums overflow.
        """
        return self._apply(denoise, X)

    def thresholds(self, X):
        """Thresholds that :meth:`transform` applies to `X`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_channels, length)
            Noisy signals.

        Returns
        -------
        ndarray of shape (n_samples, n_bands) or (n_samples, n_channels, n_bands)
            In the units of `X`, for the bands from fine to coarse, wavelet by wavelet if there are
            several; one band when values themselves are shrunk. In every band white noise has the
            standard deviation that it has in `X`.
        """
        return self._apply(find_thresholds, X)

    def estimate_noise(self, X):
        """Standard deviation of the noise in every sample and channel.

        The median magnitude of the finest coefficients (wavelet "sym4") over 0.6745, whatever the
        parameters are. It is robust against a signal that is mostly smooth; rough signals and
        short ones make it too large.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, n_channels, length)
            Noisy signals.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_channels)
            In the units of `X`.
        """
        check_is_fitted(self)
        return self._estimate(self._check_X(X, reset=False))

    @available_if(_gives_columns)
    def get_feature_names_out(self, input_features=None):
        """Names of the columns, which are those of the input; not for several channels.

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

    # --- what is passed to the rules -------------------------------------------------------------

    def _asked_for(self):
        asked = {name: getattr(self, name) for name in Recipe.__dataclass_fields__}
        if isinstance(self.wavelet, list):
            asked["wavelet"] = tuple(self.wavelet)
        return Recipe(**asked)

    def _options_asked_for(self):
        """All parameters but the rule and the wavelet, which may be learnt."""
        params = self.get_params(deep=False)
        return {name: params[name] for name in params if name not in ("rule", "wavelet")}

    def _choose(self, X, recipe):
        """The best of the candidates, and what is known of all of them."""
        signals, level = _rows(X), self._levels_for(X)
        noisy = level > 0
        recipes = candidates(recipe)
        errors = np.zeros(len(recipes))
        if noisy.any():
            errors = estimated_errors(signals[noisy] / level[noisy, None], recipes)
        order = np.argsort(errors, kind="stable")
        self.selection_report_ = [
            {
                "rule": recipes[index].rule,
                "wavelet": recipes[index].wavelet,
                "error": float(errors[index]),
            }
            for index in order
        ]
        return recipes[order[0]]

    def _apply(self, function, X):
        check_is_fitted(self)
        X = self._check_X(X, reset=False)
        options = {**self._options, "level": self._level_for(X)}
        del options["noise_level"]
        recipe = Recipe(self.rule_, wavelet=self.wavelet_, **options)
        return function(_rows(X), self._levels_for(X), recipe).reshape(*X.shape[:-1], -1)

    def _level_for(self, X):
        level, highest = self._options["level"], highest_level(X.shape[-1])
        if level is None or level <= highest:
            return level
        warnings.warn(
            f"expected level of at most {highest} for signals of {X.shape[-1]} values, got "
            f"level={level}; it is lowered to {highest}",
            UserWarning,
            stacklevel=3,
        )
        return highest

    def _estimate(self, X):
        return estimate_noise(_rows(X)).reshape(X.shape[:-1])

    def _levels_for(self, X):
        """Noise level of every signal, of shape (n_signals,) and of the type of X."""
        level = self._options["noise_level"]
        if level == "sample":
            return self._estimate(X).ravel()
        if level == "pooled":
            level = self.noise_level_
        return np.broadcast_to(np.asarray(level, X.dtype), X.shape[:-1]).ravel()

    # --- checks ----------------------------------------------------------------------------------

    def _check_X(self, X, *, reset):
        if not reset:
            expected = free_sample_shape(self.n_features_in_, self._n_dims)
            check_sample_shape(X, expected, type(self).__name__)
        # float64 first: lists and arrays then give the same bits.
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            allow_nd=True,
            ensure_all_finite=False,
        )
        if X.ndim > 3 or X.size == 0:
            raise ValueError(
                "expected X of shape (n_samples, n_features) or (n_samples, n_channels, length), "
                f"without empty axes, got {X.shape}"
            )
        if reset:
            self._n_dims = X.ndim
        _check_values(X)
        return X

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "rule_") and not hasattr(self, "_options"):  # of an older version
            self._options = self._options_asked_for()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _rows(X):
    """Every sample and channel as a row."""
    return X.reshape(-1, X.shape[-1])


def _check_values(X):
    """Refuse what is not finite, and what would overflow when it is summed."""
    limit = np.finfo(X.dtype).max / (1000 * X.shape[-1])
    if X.min() >= -limit and X.max() <= limit:  # also False with NaN
        return
    sample = int(np.argmin((np.abs(X) <= limit).all(axis=tuple(range(1, X.ndim)))))
    if not np.isfinite(X[sample]).all():
        raise ValueError(f"Input X contains NaN or infinity in sample {sample}")
    raise ValueError(
        f"expected magnitudes of at most {limit:.3g}, whose sums {X.dtype} holds, got "
        f"{np.abs(X[sample]).max():.3g} in sample {sample}"
    )
