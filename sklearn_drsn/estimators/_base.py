"""What every learned estimator shares: one fit, what it leaves behind, and its state on disk."""

import os
import warnings
from contextlib import ExitStack, contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_n_features, validate_data

from sklearn_drsn.estimators._checkpoints import identify, open_checkpoint
from sklearn_drsn.estimators._outline import check_sizes
from sklearn_drsn.estimators._samples import check_sample_shape, on_host, resolve_device
from sklearn_drsn.estimators._training import (
    LR_SCHEDULES,
    OPTIMIZERS,
    EpochTasks,
    Settings,
    get_state,
    is_scoring_callback,
    is_skorch_callback,
    same_optimizer,
    same_options,
    set_state,
    train,
)
from sklearn_drsn.estimators._transaction import transaction

__all__ = ["BaseNetworkEstimator", "summarise"]


class BaseNetworkEstimator(CallbackSupportMixin, BaseEstimator):
    """Fit a network once or further; a subclass says which one, to what, and how it is used.

    It provides ``_network``, the class, ``_architecture_asked_for``, its arguments, and
    ``_make_net``, which builds a net from ``_architecture`` and ``_settings`` as they were in
    ``fit``, for the weights given. For ``_validate`` it knows the ``_sample_shape`` of ``fit``.
    """

    _parameter_constraints = {
        "optimizer": [StrOptions(set(OPTIMIZERS)), callable],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "lr_schedule": [StrOptions(set(LR_SCHEDULES))],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "precision": [StrOptions({"float32", "bfloat16"})],
        "compile": ["boolean"],
        "callbacks": [list, tuple, None],
        "warm_start": ["boolean"],
        "checkpoint_dir": [str, os.PathLike, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    @contextmanager
    def _fitting(self, X, y):
        """Give the :class:`_Fit` that trains a net; tell scikit-learn's callbacks about it."""
        task = self._init_callback_context(max_subtasks=self.max_epochs)
        task.call_on_fit_task_begin(estimator=self, X=X, y=y)
        watchers = []
        if hasattr(self, "_skl_callbacks"):
            watchers.append(EpochTasks(task, self, self._attributes_of, X, y))
        with transaction(self) as keep, ExitStack() as stack:
            yield _Fit(self, stack, keep=keep, watchers=watchers)
        task.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        self._warn_if_unconverged()

    def _train(self, net, samples, validation=None, *, keep, **options):
        state = get_state(net)
        try:
            train(net, samples, validation, **options)
        except KeyboardInterrupt:
            vars(self).update(self._attributes_of(net))
            keep()
            raise
        except Exception:
            set_state(net, state)
            raise
        vars(self).update(self._attributes_of(net))

    def _attributes_of(self, net):
        """The fitted attributes of the estimator that ``net`` makes of this one."""
        history = summarise(net.history)
        return {
            "net_": net,
            "device_": net.device,
            "history_": history,
            "n_iter_": len(history),
            "best_epoch_": _best_epoch(history[net.first_epoch_ :]) or len(history),
        }

    def _warn_if_unconverged(self):
        losses = [row["train_loss"] for row in self.history_[self.net_.first_epoch_ :]]
        if len(losses) < max(20, self.max_epochs) or self.early_stopping:
            return
        tenth = len(losses) // 10
        before, last = np.mean(losses[-2 * tenth : -tenth]), np.mean(losses[-tenth:])
        if before - last > 0.1 * abs(before):  # losses may be negative
            warnings.warn(
                f"{type(self).__name__} was still improving when it reached "
                f"max_epochs={self.max_epochs}: training loss {last:.3g}, {before:.3g} a tenth of "
                "the epochs before. Increase max_epochs or lr.",
                ConvergenceWarning,
                stacklevel=6,  # the caller of fit, past this, _fitting, its context, fit, a wrapper
            )

    def _check_parameters(self):
        self._validate_params()
        for callback in self.callbacks or ():
            if not is_skorch_callback(callback):
                raise TypeError(
                    f"callbacks takes skorch callbacks, got {callback!r}; those of scikit-learn go "
                    "through set_callbacks"
                )
            if is_scoring_callback(callback):
                raise TypeError(
                    f"callbacks that make the net predict are not supported, got {callback!r}: "
                    "the net takes scaled samples and prepared targets"
                )

    def _validate(self, X, *y, reset, name="X", **checks):
        """X as an array, the features of which are learnt or compared; y must be there."""
        X = on_host(X)
        if not reset:
            check_sample_shape(X, self._sample_shape, type(self).__name__, name)
        # The names of features alone: they tell more than what else may be wrong with X.
        validate_data(self, X, *y, reset=reset, skip_check_array=True, ensure_2d=False)
        # float64 first: lists and arrays then give the same bits.
        checks = {"dtype": [np.float64, np.float32], "allow_nd": True, **checks}
        X = self._as_array(X, input_name=name, **checks)
        _check_n_features(self, X, reset=reset)
        return X

    def _as_array(self, values, **checks):
        quiet = np.errstate(over="ignore", invalid="ignore")  # in a sum that looks for NaN
        with quiet, config_context(array_api_dispatch=False):  # tensors become arrays
            return check_array(on_host(values), estimator=self, **checks)

    def _draw_seed(self):
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _new_net(self, seed):
        self._architecture = self._architecture_asked_for()
        self._settings = dict(vars(self._settings_asked_for(seed)))
        return self._make_net()

    def _settings_asked_for(self, seed):
        names = Settings.__dataclass_fields__.keys() - {"seed", "device"}
        values = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return Settings(seed=seed, device=str(resolve_device(self.device)), **values)

    def _continued_net(self):
        """Net of today's parameters with the weights and optimizer state of the last fit."""
        before, now = self._architecture, self._architecture_asked_for()
        changed = {  # an older version may not have known the name
            name: (before.get(name), now[name]) for name in now if now[name] != before.get(name)
        }
        if not same_optimizer(self.optimizer, self._settings["optimizer"]):
            changed["optimizer"] = self._settings["optimizer"], self.optimizer
        before = self._settings["normalize"]
        if getattr(self, "normalize", before) != before:  # what was learnt of X stays as it is
            changed["normalize"] = before, self.normalize
        if changed:
            raise ValueError(
                "training can only go on with the network, scaling and optimizer that it began "
                f"with, got (before, now): {changed}"
            )
        state = get_state(self.net_)
        net = self._new_net(self._settings["seed"])
        if same_options(net, self.net_):
            return self.net_
        set_state(net, state)
        pairs = zip(self.net_.module_.parameters(), net.module_.parameters(), strict=True)
        for before, now in pairs:
            now.requires_grad_(before.requires_grad)
        return net

    def __getstate__(self):
        """Parameters, NumPy arrays and plain configuration; the net is rebuilt from them."""
        state = dict(super().__getstate__())
        net = state.pop("net_", None)
        if net is not None:
            state["_net_state"] = get_state(net)
        return state

    def __setstate__(self, state):
        state = dict(state)
        net_state = state.pop("_net_state", None)
        super().__setstate__(state)
        if net_state is not None:
            self._settings = {**self._settings, "device": self._device_at_hand()}
            check_sizes(self._architecture, net_state["module"])
            self.net_ = self._make_net(net_state["module"])
            set_state(self.net_, net_state)
            self.device_ = self.net_.device

    def _device_at_hand(self):
        device = self._settings["device"]
        try:
            return str(resolve_device(device))
        except ValueError:
            warnings.warn(
                f"{type(self).__name__} was fitted on {device!r}, which this machine lacks; it is "
                "loaded on the CPU",
                UserWarning,
                stacklevel=2,
            )
            return "cpu"


class _Fit:
    """One call of ``fit``: say with which seed, then train, from a checkpoint if there is one.

    Parameters
    ----------
    estimator : estimator
    stack : contextlib.ExitStack
        Ends with the fit.
    **options
        Of the training.
    """

    def __init__(self, estimator, stack, **options):
        self.estimator, self.stack, self.options = estimator, stack, options
        self.checkpoint = None

    def seed(self, goes_on, **data):
        """Seed of the net that training goes on with, of the checkpoint, or a new one.

        ``data`` is all that was given besides parameters; it tells one fit from another.
        """
        estimator, seed = self.estimator, None
        if goes_on:
            seed = estimator._settings["seed"]
        elif estimator.random_state is not None:
            seed = estimator._draw_seed()
        if estimator.checkpoint_dir is not None:
            state = get_state(estimator.net_) if goes_on else None
            self.checkpoint = self.stack.enter_context(
                open_checkpoint(estimator.checkpoint_dir, *identify(estimator, seed, data, state))
            )
        if self.checkpoint and self.checkpoint.state:
            return self.checkpoint.state["seed"]
        return estimator._draw_seed() if seed is None else seed

    def __call__(self, net, samples, validation=None, **options):
        """Train, and leave no checkpoint of a fit that came to its end."""
        options = {**self.options, **options, "checkpoint": self.checkpoint}
        try:
            self.estimator._train(net, samples, validation, **options)
        except ValueError:  # such as a loss that is not finite: it would be so again
            self._forget()
            raise
        self._forget()

    def _forget(self):
        if self.checkpoint:
            self.checkpoint.remove()


def summarise(history):
    """What ``history_`` says of a net's history, rows of which may hold more or no validation."""
    nothing = {"valid_loss": np.nan, "valid_score": np.nan}
    keys = ("epoch", "train_loss", "valid_loss", "valid_score", "lr", "seconds")
    rows = [{**nothing, **row} for row in history]
    return [{key: row[key] for key in keys} for row in rows]


def _best_epoch(history):
    """Epoch of the best validation score (then loss), None without validation."""
    validated = [row for row in history if not np.isnan(row["valid_score"])]
    best = max(validated, key=lambda row: (row["valid_score"], -row["valid_loss"]), default={})
    return best.get("epoch")
