"""Regression on noisy tables, series and images."""

import math

import numpy as np
import torch
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions

from sklearn_drsn.estimators._drsn import BaseDRSN
from sklearn_drsn.estimators._scaling import TargetScaler

__all__ = ["DRSNRegressor"]

_CRITERIA = {
    "squared_error": torch.nn.MSELoss,
    "absolute_error": torch.nn.L1Loss,
    "huber": torch.nn.HuberLoss,
}


class DRSNRegressor(RegressorMixin, BaseDRSN):
    """Deep residual shrinkage network regressor, for one target or several.

    The network of :class:`DRSNClassifier` with real-valued outputs. Targets are scaled to zero
    mean and unit variance for training; predictions are in their own units. A target that had one
    value only is predicted as that value.

    X may hold tables ``(n_samples, n_features)``, series ``(n_samples, n_channels, length)`` or
    images ``(n_samples, n_channels, height, width)``; the shape of a sample is fixed by ``fit``.

    Parameters
    ----------
    depth : int, default=3
        Number of residual units, over up to three stages.
    width : int, default=16
        Channels of the first stage; each later stage has twice as many. For tables the number of
        features of every unit.
    threshold_mode : {"channel_wise", "channel_shared", "proportional", \
            "squeeze_excitation", None}, default="proportional"
        What a unit does to its features: shrink them by a threshold of each sample and channel
        (DRSN-CW) or of each sample (DRSN-CS), shrink them by a share of each channel's mean
        magnitude that is learnt without attention ("proportional", ours), scale them without a
        threshold (SENet), or neither (ResNet).
    kernel_size : int or None, default=None
        Odd width of the units' convolutions. None takes 9 for series and 5 for images. Ignored
        for tables.
    stem_kernel_size : int or None, default=None
        Odd width of the first convolution. None takes 31 for series of 512 samples or more, 15
        for shorter ones and 3 for images. Ignored for tables.
    stem_stride : int or None, default=None
        Stride of the first convolution. None takes, for series, 4 from 512 samples on, 2 from
        128 on, else 1; for images 2 from 64 pixels on the shorter side on, else 1. Ignored for
        tables.
    downsampling : {"subsample", "average"} or None, default=None
        What shortcuts pass on where a unit halves the length: every second position, as in the
        paper, or means over two of them along each axis (ours). None takes "subsample" for series
        and "average" for images. Ignored for tables.
    pooling : {"auto", "average", "log_power"}, default="average"
        What the head sees of every channel: its mean over all positions, as in the paper, or the
        logarithm of its mean square as well (ours). "auto" takes "log_power" for series that are
        drowned in white noise: over the training set they have, on average, as much power in every
        part, more than two thirds of it at the level of the quietest frequencies, at most 64
        channels and no aligned patterns (see `augment`).
        It pays for classes, while for values no gain was seen. Ignored for tables.
    dropout : float in [0, 1), default=0.0
        Share of the pooled features dropped before the head while training.
    n_pieces : int from 1 to 32 or "auto", default="auto"
        Pieces between quantiles in which the columns of a table may bend (ours); 1 keeps the first
        layer straight. "auto" lets columns bend, in 8 pieces, that have from 3 to 32 values, each
        of them four times or more on average, as settings and counts do, by a look at up to 1024
        rows of the training set. Ignored for series and images.
    screen_columns : bool, default=True
        Let a `fit` that starts anew multiply every column of a table by its relevance (ours):
        ``max(1 - F_p / F, 0.05)``, divided by the largest one. ``F`` is the larger F statistic of
        the column's ranks and of their squared distances from the median, by a look at up to 8192
        rows, and ``F_p`` about the largest one that as many columns of noise have. Targets are
        ranked too. What tells nothing by itself is learnt from slowly, in small tables perhaps too
        slowly. A first `partial_fit` leaves columns alike. Ignored for series and images.
    input_shape : tuple of int or None, default=None
        Gives every row of a 2-D X this shape, ``(n_channels, length)`` or
        ``(n_channels, height, width)``; one size may be -1. Lets series and images pass through
        scikit-learn's 2-D steps.
    normalize : {"channel", "sample", None}, default="channel"
        "channel": every channel (column) to the zero mean and unit variance it has over the
        training set, outliers pulled in before: values of a column that lie farther from its
        median than three robust standard deviations (0.78 times the distance that four fifths stay
        within) end within six, in their order, and samples of series and images with a root mean
        square about the median of more than three times what four fifths stay within are turned
        down to less than six times. "sample": every channel of every sample to its own mean and
        variance, so that gain carries no information (not for tables). None: X as it is.
    augment : {None, "auto", "shift", "nudge", "sign_flip", "noise", "mild_noise", \
            "occasional_noise"}, callable or tuple of names and callables, default=None
        Random changes of every scaled training batch: a circular shift to anywhere or, "nudge", by
        at most an eighth of each axis, a flipped sign, white noise at -15 to 15 dB or, mild, -5 to
        20 dB (tables: up to 0.3 column standard deviations), "occasional" mild noise in half of the
        samples, or ``f(batch, generator) -> batch`` on tensors. Samples of unit power, as
        ``normalize="sample"`` makes them, keep it in noise. On tables only "noise" or a callable,
        and "auto" changes nothing there. To series and images whose patterns are aligned, in the
        sense that targets explain more than 0.5 % of the variance of the values at their places (in
        images 5 % of what white noise leaves), "auto" adds mild noise, and "noise" to such series
        if white noise makes more than two thirds of their power. It nudges other series and images,
        and adds mild noise as well to series of steady power of which white noise makes less than a
        twentieth, and occasional noise to images of which it, or texture, makes less than 1.5 %.
        Coloured noise is not seen, and none in fewer than 16 values or more than 64 channels, in
        images of fewer than 8 pixels a side or more than 16 channels.
    n_views : int, default=8
        Predictions, and what `embed` gives, are averaged over so many views of a sample (ours):
        copies rotated as "shift" or "nudge" in `augment` rotate those of training, spread evenly,
        the first of them the sample itself; without either, as in tables, over that one alone.
        Costs as many times the time of a prediction and nothing in training, where validation
        scores are those of single views. May be set after `fit`.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Loss of the scaled targets; "huber" turns linear at one standard deviation of the target.
    optimizer : {"adamw", "adam", "sgd", "nadam"} or torch optimizer class, default="adamw"
        "sgd" has momentum 0.9, as in the paper.
    lr : float, default=0.03
        Learning rate; the peak of "one_cycle".
    lr_schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle" rises over 30 % of the steps, falls along a cosine and stays near zero for the
        last tenth; "step" takes lr, lr/10 and lr/100 for 40, 40 and 20 % of the epochs, as the
        paper does.
    weight_decay : float or None, default=None
        Of the weights of convolutions and linear layers; biases and batch norm have none. None is
        0.01, but for `fit` on tables with "adamw" 240 over the number of steps, epochs times
        samples over `batch_size`, and at most ``0.06 / lr``: as much in all over a fit, short or
        long. With `warm_start` earlier epochs count as well. The weights of a table's columns are
        soft-thresholded instead, column by column: each norm loses the same, up to twice what
        decay would take off the mean one, so that columns that say nothing fade.
    max_epochs : int, default=40
        Passes over the training set.
    batch_size : int, default=32
        Samples per step, at least 2; a last batch of one sample joins the one before.
    early_stopping : bool, default=False
        Hold out a part of the training set, stop when its score no longer improves and restore
        the weights of the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Share held out by ``early_stopping``; whole groups if ``groups`` are given.
    n_iter_no_change : int, default=10
        Epochs after which ``early_stopping`` stops that had no better validation score, nor an
        equal one with a lower validation loss.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1". One that
        the machine lacks is an error.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" computes the network under autocast.
    compile : bool, default=False
        Run the network through ``torch.compile``; worth it for long fits only, and for few of
        them: torch goes back to eager execution after eight compilations in a process.
    callbacks : list of skorch callbacks or None, default=None
        Called by ``net_`` while it trains; those that make the net predict, as EpochScoring does,
        are not supported. scikit-learn's callbacks go through ``set_callbacks``.
    warm_start : bool, default=False
        Let the next ``fit`` keep weights, optimizer state and scaling and train ``max_epochs``
        more.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if missing, in which ``fit`` keeps its state after epochs. One that was killed
        or interrupted goes on from there when it is called again with the same data and
        parameters; on the CPU it ends with the bits of an undisturbed one. With
        ``random_state=None`` it goes on with the seed that it began with. A fit that comes to its
        end removes its files. A folder that cannot be written to is an OSError, a disk that fills
        up later a warning. Callbacks begin anew, with a warning; code is known by its name only.
    verbose : int, default=0
        1 shows a bar on standard error, with loss, validation score and time left; 2 or more
        prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of samples, augmentation, dropout and the held-out
        part. With an int a fit moves no global random state and, with the same number of
        threads, gives the same bits every time.

    Attributes
    ----------
    n_features_in_ : int
        Number of features of a 2-D X, else of channels.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Column names of X, if all are strings.
    input_shape_ : tuple of int
        Shape of one sample as the network sees it.
    augment_ : None, str, callable or tuple
        What was done to the training batches: `augment`, or what "auto" stood for.
    pooling_ : str
        `pooling`, or what "auto" stood for.
    net_ : skorch net
        The trained net; ``net_.module_`` is the :class:`~sklearn_drsn.networks.DRSN`.
    device_ : str
        Device of the network.
    n_iter_ : int
        Epochs trained.
    best_epoch_ : int
        Epoch of the best validation score, or the last one without validation.
    history_ : list of dict
        Per epoch: epoch, train_loss, valid_loss, valid_score, lr, seconds.

    See Also
    --------
    DRSNClassifier : The same network for classes.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, :doi:`10.1109/TII.2019.2943898`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_drsn import DRSNRegressor
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> y = X[:, 0] + X[:, 1] ** 2
    >>> reg = DRSNRegressor(max_epochs=15, random_state=0).fit(X[:150], y[:150])
    >>> reg.score(X[150:], y[150:]) > 0.5
    True
    """

    _parameter_constraints = {
        **BaseDRSN._parameter_constraints,
        "loss": [StrOptions(set(_CRITERIA))],
    }

    def __init__(
        self,
        depth=3,
        width=16,
        *,
        threshold_mode="proportional",
        kernel_size=None,
        stem_kernel_size=None,
        stem_stride=None,
        downsampling=None,
        pooling="average",
        dropout=0.0,
        n_pieces="auto",
        screen_columns=True,
        input_shape=None,
        normalize="channel",
        augment=None,
        n_views=8,
        loss="squared_error",
        optimizer="adamw",
        lr=0.03,
        lr_schedule="one_cycle",
        weight_decay=None,
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
        self.stem_kernel_size = stem_kernel_size
        self.stem_stride = stem_stride
        self.downsampling = downsampling
        self.pooling = pooling
        self.dropout = dropout
        self.n_pieces = n_pieces
        self.screen_columns = screen_columns
        self.input_shape = input_shape
        self.normalize = normalize
        self.augment = augment
        self.n_views = n_views
        self.loss = loss
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

    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch at constant ``lr``.

        The first call fixes the shape of a sample, the scaling of X and y and what "auto" stands
        for in ``augment``, ``pooling`` and ``n_pieces``; give it more than one sample, whose target
        has no spread (a warning says so). A single sample trains the network with its batch norm
        left as it is.

        Parameters
        ----------
        X : array-like
            Samples of the shape seen before.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, used as they are.

        Returns
        -------
        self : object
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X, *, out=None):
        """Target values.

        Parameters
        ----------
        X : array-like
            Samples of the shape seen in ``fit``.
        out : array of shape (n_samples,) or (n_samples, n_targets), default=None
            Where to write the result, part by part, instead of a new array: for an X larger than
            memory. If X cannot be read to its end, the error says how much was written.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_targets)
            float64, in the units of y and as many-dimensional as it; or ``out``.
        """
        return self._predict(X, self._in_their_units, out)

    def _in_their_units(self, outputs):
        y = self._target_scaler.inverse_transform(outputs)
        return y.reshape(len(y), *self._target_shape)

    def _criterion(self):
        return _CRITERIA[self.loss]

    @property
    def _n_outputs(self):
        return math.prod(self._target_shape)

    def _check_targets(self, y, name):
        if y.dtype.kind not in "buifO":
            raise ValueError(f"{name} must hold numbers, got {name}.dtype={y.dtype}")
        y = y.astype(np.float64)
        if not np.isfinite(y).all():  # of objects
            raise ValueError(f"Input {name} contains NaN or infinity")
        return y

    def _learn_targets(self, y, *, reset, name="y"):
        if reset:
            self._target_shape = y.shape[1:]
        elif y.shape[1:] != self._target_shape:
            raise ValueError(
                f"{name} has targets of shape {y.shape[1:]}, but {type(self).__name__} is "
                f"expecting {self._target_shape}, as in fit"
            )

    def _learn_scaling(self, X, y, weight, rows):
        super()._learn_scaling(X, y, weight, rows)
        weight = None if weight is None else weight[rows]
        self._target_scaler = TargetScaler().fit(_columns(y[rows]), weight)

    def _net_for(self, X, y, rows, seed):
        """A new net, which gives constant targets as such until it is taught another value."""
        net = super()._net_for(X, y, rows, seed)
        constant = torch.from_numpy(~self._encode_targets(y[rows]).any(axis=0))
        with torch.no_grad():  # zero weights that hit their target have no gradient
            for parameter in net.module_.head.parameters():
                parameter[constant] = 0.0
        return net

    def _encode_targets(self, y):
        return self._target_scaler.transform(_columns(y))

    _scales_targets = True
    _min_validation_samples = 2  # for R^2

    def _strata(self, y):
        return np.zeros(len(y), int)

    @staticmethod
    def _score(y, outputs, sample_weight):
        return r2_score(y, outputs, sample_weight=sample_weight)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _columns(y):
    return y.reshape(len(y), -1)
