"""What the classifier and the regressor share: checks, weights, splits, fitting, prediction."""

import math
import warnings
from contextlib import closing
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.callback import with_callbacks
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.utils import metadata_routing
from sklearn.utils._param_validation import (
    Interval,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils.validation import (
    _check_sample_weight,
    check_consistent_length,
    check_is_fitted,
)

from sklearn_drsn.estimators._augmentation import (
    AUGMENTATIONS,
    check_augmentation,
    choose_augmentation,
)
from sklearn_drsn.estimators._base import BaseNetworkEstimator
from sklearn_drsn.estimators._bends import N_PIECES, find_bends
from sklearn_drsn.estimators._patterns import find_pattern
from sklearn_drsn.estimators._relevance import column_relevance
from sklearn_drsn.estimators._samples import (
    check_out,
    check_sample_shape,
    default_convolutions,
    in_kind_of,
    make_sample_set,
    on_host,
    reshape_rows,
    resolve_device,
    rows_per_part,
    warn_if_transposed,
)
from sklearn_drsn.estimators._scaling import InputScaler
from sklearn_drsn.estimators._streaming import Stream, in_parts, is_streamed
from sklearn_drsn.estimators._training import (
    LARGEST_DECAY,
    Settings,
    check_outputs,
    make_network,
)
from sklearn_drsn.estimators._transaction import transaction
from sklearn_drsn.estimators._views import find_views
from sklearn_drsn.layers import DOWNSAMPLINGS, THRESHOLD_MODES
from sklearn_drsn.networks import DRSN
from sklearn_drsn.networks._drsn import POOLINGS

__all__ = ["BaseDRSN"]

# Weight decay of tables, times the steps of a fit.
_DECAY_OF_STEPS = 240.0


class BaseDRSN(BaseNetworkEstimator):
    """Fit and predict with a DRSN; a subclass says what the outputs mean.

    It provides ``_check_targets``, ``_learn_targets``, ``_encode_targets``, ``_strata``,
    ``_criterion``, ``_score``, ``_scales_targets`` and ``_min_validation_samples``.
    """

    _parameter_constraints = {
        **BaseNetworkEstimator._parameter_constraints,
        "depth": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "threshold_mode": [StrOptions({mode for mode in THRESHOLD_MODES if mode}), None],
        "kernel_size": [Interval(Integral, 1, None, closed="left"), None],
        "stem_kernel_size": [Interval(Integral, 1, None, closed="left"), None],
        "stem_stride": [Interval(Integral, 1, None, closed="left"), None],
        "downsampling": [StrOptions({*DOWNSAMPLINGS}), None],
        "pooling": [StrOptions({"auto", *POOLINGS})],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "n_pieces": [Interval(Integral, 1, 32, closed="both"), StrOptions({"auto"})],
        "screen_columns": ["boolean"],
        "input_shape": [tuple, list, None],
        "normalize": [StrOptions({"channel", "sample"}), None],
        "augment": [StrOptions({"auto", *AUGMENTATIONS}), tuple, list, callable, None],
        "n_views": [Interval(Integral, 1, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
    }

    _network = DRSN
    _pattern = None  # where nobody has looked
    _weight_decay = 0.01
    _n_bent = 0

    # Where results go is no metadata.
    __metadata_request__predict = {"out": metadata_routing.UNUSED}
    __metadata_request__predict_proba = {"out": metadata_routing.UNUSED}
    __metadata_request__predict_log_proba = {"out": metadata_routing.UNUSED}

    @with_callbacks
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        groups=None,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Train the network from scratch, or further with ``warm_start``.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), (n_samples, n_channels, length) or \
                (n_samples, n_channels, height, width)
            Tables, series or images. Memory-mapped files, zarr arrays, HDF5 datasets and dask
            arrays, of any real type, are read block by block and never held as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Class labels (numbers, strings, booleans or dates), or target values.
        sample_weight : array-like of shape (n_samples,), default=None
            Non-negative weights, scaled to mean one; samples of weight zero are left out.
        groups : array-like of shape (n_samples,), default=None
            With ``early_stopping`` whole groups are held out.
        X_val, y_val : array-like, default=None
            Validation samples to use instead of a held-out part; both or none.
        sample_weight_val : array-like of shape (n_validation_samples,), default=None
            Weights of the validation samples.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If the data or a parameter are not as described; the estimator is then as it was.
        OSError
            If a block of X cannot be read.

        Warns
        -----
        UserWarning
            If X seems to have its channels last: series of 64 channels or more, and shorter than
            16.
        """
        with self._fitting(X, y) as train:
            self._check_parameters()
            goes_on = self.warm_start and hasattr(self, "net_")
            X, y, weight, rows = self._check_training(X, y, sample_weight, reset=not goes_on)
            self._learn_targets(y[rows], reset=not goes_on)
            by_class = self._class_weights(y[rows])
            weight, rows = self._weigh(y, weight, rows, by_class)
            groups = None if groups is None else _as_groups(groups, y)
            validation = self._check_validation(X_val, y_val, sample_weight_val, by_class)
            data = {"X": X, "y": y, "sample_weight": weight, "groups": groups}
            seed = train.seed(goes_on, **data, validation=validation)
            if validation is None and self.early_stopping:
                rows, held_out = self._hold_out(y, rows, groups, seed)
                validation = X, y, weight, held_out
            if not goes_on:
                self._learn_scaling(X, y, weight, rows)
                self._pattern = None
            self._learn_pattern(X, y, rows)
            n_epochs = self.max_epochs + (len(self.history_) if goes_on else 0)
            self._learn_weight_decay(X, n_epochs * len(rows))
            net = self._continued_net() if goes_on else self._net_for(X, y, rows, seed)
            if self.screen_columns and X.ndim == 2 and not goes_on:
                self._screen_columns(net, X, y, weight, rows)
            samples = self._sample_set(X, y, weight, rows)
            patience = self.n_iter_no_change if self.early_stopping else None
            validation = validation and self._sample_set(*validation)
            train(net, samples, validation, patience=patience)
        return self

    def _partial_fit(self, X, y, sample_weight, **first_call):
        with transaction(self) as keep:
            self._check_parameters()
            first = not hasattr(self, "net_")
            X, y, weight, rows = self._check_training(
                X, y, sample_weight, reset=first, min_samples=1
            )
            self._learn_targets(y[rows], reset=first, **first_call)
            by_class = self._class_weights(y[rows])
            weight, rows = self._weigh(
                y, weight, rows, by_class, mean_one=False, min_samples=int(first)
            )
            if not len(rows):  # of a stream, a batch of classes that have no weight
                return self
            if first:
                self._learn_scaling(X, y, weight, rows)
                self._warn_if_unscaled(X, rows)
                self._pattern = None
            self._learn_weight_decay(X)
            self._learn_pattern(X, y, rows)
            net = self._net_for(X, y, rows, self._draw_seed()) if first else self._continued_net()
            samples = self._sample_set(X, y, weight, rows, mean_one=False)
            self._train(net, samples, keep=keep, epochs=1, lr_schedule="constant")
        return self

    def _check_training(self, X, y, sample_weight, *, reset, min_samples=2, suffix=""):
        """Validated X, y, weights (or None) and the numbers of the rows to train on.

        X and y have names that end in ``suffix``.
        """
        X = self._validate(X, y, reset=reset, name=f"X{suffix}")
        y = self._as_array(y, ensure_2d=False, dtype=None, input_name=f"y{suffix}")
        X, y = self._shape_samples(X, reset=reset), self._check_targets(y, f"y{suffix}")
        if len(X) != len(y):
            raise ValueError(
                f"X{suffix} and y{suffix} have inconsistent numbers of samples: [{len(X)}, "
                f"{len(y)}]"
            )
        self._check_kind(table=X.ndim == 2)
        weight, rows = None, np.arange(len(X))
        if sample_weight is not None:
            weight = _check_sample_weight(
                on_host(sample_weight), y, dtype=np.float64, ensure_non_negative=True
            )
            rows = np.flatnonzero(weight)
        self._check_number(rows, min_samples, suffix)
        return X, y, weight, rows

    def _check_number(self, rows, min_samples, suffix):
        if len(rows) < min_samples:
            raise ValueError(
                f"{type(self).__name__} needs an X{suffix} of at least {min_samples} samples of "
                f"positive weight, got {len(rows)} sample{'s' * (len(rows) != 1)}"
            )

    def _validate(self, X, *y, **checks):
        """As for any X; a stream, which is checked when it is read, by its shape and type."""
        if not is_streamed(X):
            return super()._validate(X, *y, **checks)
        X = Stream(X)
        super()._validate(X.outline(), *y, **checks, dtype=None, ensure_all_finite=False)
        return X

    def _check_validation(self, X, y, sample_weight, by_class):
        if X is None and y is None:
            if sample_weight is not None:
                raise ValueError("sample_weight_val was given without X_val and y_val")
            return None
        if X is None or y is None:
            missing = "X_val" if X is None else "y_val"
            raise ValueError(f"X_val and y_val belong together, got {missing}=None")
        needs = {"min_samples": self._min_validation_samples, "suffix": "_val"}
        X, y, weight, rows = self._check_training(X, y, sample_weight, reset=False, **needs)
        self._learn_targets(y[rows], reset=False, name="y_val")
        return X, y, *self._weigh(y, weight, rows, by_class, **needs)

    def _check_X(self, X):
        check_is_fitted(self)
        X = self._validate(X, reset=False)
        return self._shape_samples(X, reset=False)

    def _shape_samples(self, X, *, reset):
        """X with ``input_shape`` applied; the shape of a sample is learnt or compared."""
        if self.input_shape is not None:
            X = reshape_rows(X, self.input_shape)
        if X.ndim > 4 or X.size == 0:
            raise ValueError(
                "expected X of shape (n_samples, n_features), (n_samples, n_channels, length) or "
                f"(n_samples, n_channels, height, width), without empty axes, got {X.shape}"
            )
        if reset:
            warn_if_transposed(X, stacklevel=5)  # the caller of fit or partial_fit
            self.input_shape_ = X.shape[1:]
        check_sample_shape(X, self.input_shape_, type(self).__name__)
        return X

    @property
    def _sample_shape(self):
        """Of samples as they are given: rows if ``input_shape`` reshapes them."""
        return (math.prod(self.input_shape_),) if self.input_shape else self.input_shape_

    def _check_kind(self, *, table):
        check_augmentation(choose_augmentation(self.augment, table=table), table=table)
        if table and self.normalize == "sample":
            raise ValueError(
                "normalize='sample' needs series or images: in a table the one value that a "
                "sample has in a column has no variance"
            )

    @np.errstate(over="ignore", invalid="ignore")  # _as_float32 says it better
    def _weigh(self, y, weight, rows, by_class, *, mean_one=True, min_samples=2, suffix=""):
        """Weights as float32, class weights included, and the rows where they are positive."""
        if by_class is not None:
            weight = np.ones(len(y)) if weight is None else weight.copy()
            weight[rows] *= by_class[self._encode_targets(y[rows])]
        if weight is None:
            return None, rows
        if min_samples and not weight.any():
            raise ValueError("class_weight gives every sample weight zero")
        weight = _as_float32(weight, mean_one=mean_one)
        rows = np.flatnonzero(weight)
        self._check_number(rows, min_samples, suffix)
        return weight, rows

    def _class_weights(self, y):
        """Weight of every class, or None; regression has none."""

    def _learn_scaling(self, X, y, weight, rows):
        weight = None if weight is None else weight[rows]
        self._input_scaler = InputScaler(self.normalize).fit(X, weight, rows)

    def _warn_if_unscaled(self, X, rows):
        """One row of a table has no spread, nor has one target; further calls keep the scaling."""
        if len(rows) == 1 and ((X.ndim == 2 and self.normalize) or self._scales_targets):
            warnings.warn(
                "the first call of partial_fit fixes the scaling, and got a single sample, which "
                "has no spread: units are taken as they are. Give the first call more samples",
                UserWarning,
                stacklevel=4,  # the caller of partial_fit
            )

    def _learn_pattern(self, X, y, rows):
        if "auto" in (self.augment, self.pooling) and X.ndim > 2 and self._pattern is None:
            targets = self._encode_targets(y[rows])
            self._pattern = find_pattern(X, targets, rows, self._input_scaler)

    def _learn_weight_decay(self, X, n_samples_seen=None):
        """What None stands for: over a fit on a table as much in all, whatever its steps.

        As weights under AdamW are an average over recent steps (Wang and Aitchison, ICML 2025).
        """
        self._weight_decay = 0.01
        if X.ndim == 2 and self.optimizer == "adamw" and n_samples_seen:
            n_steps = n_samples_seen / self.batch_size
            self._weight_decay = min(LARGEST_DECAY / self.lr, _DECAY_OF_STEPS / n_steps)

    def _net_for(self, X, y, rows, seed):
        """A new net, which has seen the values of those columns of a table that may bend."""
        self._n_bent = 0
        if X.ndim > 2 or self.n_pieces == 1:
            return self._new_net(seed)
        columns, bent = find_bends(X, rows, self.n_pieces, self._input_scaler)
        self._n_bent = len(bent)
        net = self._new_net(seed)
        if self._n_bent:
            columns, bent = torch.from_numpy(columns), torch.from_numpy(bent)
            net.module_.stem.learn(columns.to(net.device), bent.to(net.device))
        return net

    def _screen_columns(self, net, X, y, weight, rows):
        targets = self._encode_targets(y[rows])
        weight = None if weight is None else weight[rows]
        relevance = column_relevance(X, targets, rows, weight)
        net.module_.stem.weigh(torch.from_numpy(relevance))

    def _hold_out(self, y, rows, groups, seed):
        """Rows to train on and rows to validate with."""
        if groups is not None:
            groups = groups[rows]
        kept, held_out = self._random_split(self._strata(y[rows]), groups, seed)
        if len(kept) < 2 or len(held_out) < self._min_validation_samples:
            raise ValueError(
                f"validation_fraction={self.validation_fraction} splits {len(rows)} samples into "
                f"{len(kept)} to train on, at least 2 expected, and {len(held_out)} to validate "
                f"with, at least {self._min_validation_samples} expected"
            )
        return rows[kept], rows[held_out]

    def _random_split(self, strata, groups, seed):
        """Positions kept and held out, stratified as far as whole groups allow."""
        names, classes = np.unique(strata, return_inverse=True)
        counts = np.bincount(classes)
        if groups is None:
            several = len(names) > 1
            if several:
                self._check_counts(names, counts)
            return train_test_split(
                np.arange(len(classes)),
                test_size=self.validation_fraction,
                stratify=classes if several else None,
                random_state=seed,
            )
        n_groups = len(np.unique(groups))
        if n_groups < 2:
            raise ValueError(f"early_stopping needs at least 2 groups, got {n_groups}")
        draws = GroupShuffleSplit(50, test_size=self.validation_fraction, random_state=seed)
        least = max(self._min_validation_samples, self.validation_fraction * len(classes) / 2)

        def shares_held_out(split):
            return np.bincount(classes[split[1]], minlength=len(counts)) / counts

        def distance(split):
            shares, too_few = shares_held_out(split), len(split[1]) < least
            return (shares == 1).sum(), too_few, np.abs(shares - self.validation_fraction).sum()

        best = min(draws.split(classes, groups=groups), key=distance)
        lost = names[shares_held_out(best) == 1].tolist()
        if lost:
            raise ValueError(
                "early_stopping holds whole groups out, and expected samples of every class in the "
                f"others; of {n_groups} groups, those held out hold all samples of {lost}. Give "
                "X_val and y_val instead"
            )
        return best

    def _check_counts(self, names, counts):
        """Whether every class can be on both sides of a split."""
        if counts.min() < 2:
            raise ValueError(
                "early_stopping needs at least 2 samples of every class, one to hold out, got 1 of "
                f"{names[counts < 2].tolist()}"
            )
        n_held_out = math.ceil(self.validation_fraction * counts.sum())
        smaller = min(n_held_out, counts.sum() - n_held_out)
        if smaller < len(names):
            raise ValueError(
                f"validation_fraction={self.validation_fraction} splits {counts.sum()} samples "
                f"into parts of which one has {smaller}, expected one for each of the "
                f"{len(names)} classes at least"
            )

    def _sample_set(self, X, y, weight, rows, *, mean_one=True):
        y = self._encode_targets(y[rows])
        if weight is not None:
            weight = weight[rows] / (weight[rows].mean() if mean_one else 1.0)
        device = resolve_device(self._settings["device"])
        return make_sample_set(X, rows, y, weight, self._input_scaler, device)

    def _architecture_asked_for(self):
        """Arguments of the network for the data and parameters at hand."""
        convolutions = default_convolutions(self.input_shape_)
        if len(self.input_shape_) > 1:  # tables have none, whatever the parameters say
            convolutions = {
                name: getattr(self, name) or convolutions[name] for name in convolutions
            }
        return {
            "n_channels": self.input_shape_[0],
            "n_outputs": self._n_outputs,
            "depth": self.depth,
            "width": self.width,
            "threshold_mode": self.threshold_mode,
            **convolutions,
            "pooling": self._pooling_asked_for(),
            "dropout": self.dropout,
            **self._bends_asked_for(),
            "dim": len(self.input_shape_) - 1,
        }

    def _pooling_asked_for(self):
        if len(self.input_shape_) == 1:
            return "average"
        if self.pooling != "auto":
            return self.pooling
        return "log_power" if self._pattern == "drowned" else "average"

    def _bends_asked_for(self):
        table, auto = len(self.input_shape_) == 1, self.n_pieces == "auto"
        n_bent = self._n_bent if auto else self.input_shape_[0]
        if not table or not n_bent or self.n_pieces == 1:
            return {"n_pieces": 1, "n_bent": None}
        return {"n_pieces": N_PIECES if auto else self.n_pieces, "n_bent": int(n_bent)}

    def _settings_asked_for(self, seed):
        settings = super()._settings_asked_for(seed)
        table = len(self.input_shape_) == 1
        augment = choose_augmentation(self.augment, table=table, pattern=self._pattern)
        weight_decay = self._weight_decay if self.weight_decay is None else self.weight_decay
        return replace(settings, augment=augment, weight_decay=weight_decay)

    @property
    def augment_(self):
        return self._settings["augment"]

    @property
    def _views(self):
        """What predictions are averaged over; ``n_views`` may have been set since the fit."""
        checks = {"n_views": self._parameter_constraints["n_views"]}
        validate_parameter_constraints(checks, {"n_views": self.n_views}, type(self).__name__)
        return find_views(self.augment_, self.input_shape_[1:], self.n_views)

    @property
    def pooling_(self):
        return self._architecture["pooling"]

    def _make_net(self, weights=None):
        return make_network(
            Settings(**self._settings),
            lambda: self._network(**self._architecture),
            self._criterion(),
            self._score,
            callbacks=self.callbacks,
            verbose=self.verbose,
            weights=weights,
        )

    def _predict(self, X, convert, out=None, *, method=None):
        """What ``convert`` makes of the network's outputs; written to ``out`` part by part."""
        given, X = X, self._check_X(X)
        if out is None:
            return in_kind_of(given, convert(self._outputs(X, method)))
        n_done = 0
        try:
            with closing(in_parts(X, rows_per_part(X.shape[1:]))) as parts:
                for part in parts:
                    result = convert(self._outputs(part, method, first=n_done))
                    check_out(out, (len(X), *result.shape[1:]), result)
                    out[n_done : n_done + len(part)] = result
                    n_done += len(part)
        except BaseException as error:
            error.add_note(f"{n_done} of {len(X)} samples have their results in out")
            raise
        return out

    def _outputs(self, X, method, first=0):
        outputs = self.net_.predict_blocks(X, self._input_scaler, method=method, views=self._views)
        check_outputs(outputs, X, range(len(X)), first=first)
        return outputs.astype(np.float64)

    def embed(self, X, *, out=None):
        """Features that the network's head sees: the pooled output of the last unit.

        Parameters
        ----------
        X : array-like
            Samples of the shape seen in ``fit``.
        out : array of shape (n_samples, n_features_out), default=None
            Where to write the result, part by part, instead of a new array.

        Returns
        -------
        ndarray of shape (n_samples, n_features_out)
            float64; the width doubles per stage, so ``4 * width`` from depth 3 on (``width`` for
            tables), and twice that with ``pooling="log_power"``. Or ``out``.
        """
        return self._predict(X, lambda features: features, out, method="features")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags


def _as_groups(groups, y):
    groups = np.asarray(on_host(groups))
    if groups.ndim != 1:
        raise ValueError(f"expected groups of shape ({len(y)},), got {groups.shape}")
    check_consistent_length(y, groups)
    return groups


def _as_float32(weight, *, mean_one):
    """Weights in the type that losses are weighted in; what vanishes beside the largest is zero."""
    scaled = weight
    if mean_one:
        scaled = np.ldexp(weight, -np.frexp(weight.max())[1])  # exact, and no sum overflows
        scaled = np.where(scaled.astype(np.float32) > 0, scaled, 0.0)
        scaled /= scaled[scaled > 0].mean()
    single = scaled.astype(np.float32)
    if weight.any() and not 0 < single.max() < np.inf:
        raise ValueError(
            "expected sample_weight times class_weight to be a number that float32 holds, got at "
            f"most {weight.max():.3g}"
        )
    return single
