"""The training engine: arrays to tensors and back, seeds, devices, the skorch net.

The only file that imports skorch. Nothing here touches global state: every random draw comes from
a generator whose seed is derived from the fit's, the purpose and the epoch, so a fit gives the
same bits alone, beside others, and when it goes on later.
"""

import functools
import math
import time
import traceback
import warnings
import zlib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import BatchScoring, Callback, EpochScoring, LRScheduler, PrintLog
from skorch.helper import predefined_split

from sklearn_drsn.estimators._augmentation import apply_augmentation
from sklearn_drsn.estimators._expectations import expect
from sklearn_drsn.estimators._outline import outline
from sklearn_drsn.estimators._progress import ProgressLine
from sklearn_drsn.estimators._samples import batch_slices, prediction_blocks
from sklearn_drsn.estimators._views import average_over
from sklearn_drsn.layers import ColumnLinear, Dropout

__all__ = [
    "LARGEST_DECAY",
    "LR_SCHEDULES",
    "OPTIMIZERS",
    "EpochTasks",
    "Network",
    "Settings",
    "check_outputs",
    "get_state",
    "is_scoring_callback",
    "is_skorch_callback",
    "make_network",
    "parameter_groups",
    "same_optimizer",
    "same_options",
    "set_state",
    "train",
]

OPTIMIZERS = {
    "adam": functools.partial(torch.optim.Adam, fused=True),
    "adamw": functools.partial(torch.optim.AdamW, fused=True),
    "nadam": torch.optim.NAdam,
    "sgd": functools.partial(torch.optim.SGD, momentum=0.9),
}
LR_SCHEDULES = ("constant", "one_cycle", "step")
# What a step takes off the norm of a column, times what weight decay would take off the mean one,
_SHRINKAGE = 2.0
# and the most that a step at full rate takes off weights by itself.
LARGEST_DECAY = 0.06


@dataclass(frozen=True)
class Settings:
    """What an estimator asks of the engine: numbers and names, no state."""

    seed: int
    device: str
    optimizer: str | Callable
    lr: float
    lr_schedule: str
    weight_decay: float
    batch_size: int
    max_epochs: int
    precision: str
    compile: bool
    augment: Any = None
    normalize: str | None = None


# --- the net -------------------------------------------------------------------------------------


def make_generator(seed, purpose, epoch=0, device="cpu"):
    """Independent generator for one purpose ("weights", "order", ...) in one epoch."""
    entropy = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), epoch])
    return torch.Generator(device).manual_seed(int(entropy.generate_state(1, np.uint64)[0]))


def lr_factor(schedule, progress):
    """Share of ``lr`` in use when ``progress``, in [0, 1), of the training is done."""
    if schedule == "step":  # the paper's: lr, lr / 10, lr / 100
        return 1.0 if progress < 0.4 else 0.1 if progress < 0.8 else 0.01
    if schedule == "one_cycle":  # Smith, arXiv:1803.09820: up, down, and a last phase near zero
        warm, cold, start, end = 0.3, 0.9, 0.04, 0.0004
        if progress < warm:
            return _cosine(progress / warm, start, 1.0)
        return _cosine(min(1.0, (progress - warm) / (cold - warm)), 1.0, end)
    return 1.0


def _cosine(share, start, end):
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * share))


class Network(NeuralNet):
    """skorch net that trains from sample sets and reads its losses once an epoch.

    Parameters
    ----------
    *args, **kwargs
        See :class:`skorch.NeuralNet`.
    settings : Settings
    score : callable
        ``score(y, outputs, sample_weight)`` of the validation set, greater is better.
    """

    criterion_options = {"reduction": "none"}

    def __init__(self, *args, settings, score, **kwargs):
        super().__init__(*args, **kwargs)
        self.settings = settings
        self.score = score

    @property
    def _default_callbacks(self):
        return [("print_log", PrintLog())] if self.verbose > 1 else []

    def initialize_module(self):
        """Take the module as it is; with ``compile`` run it through a compiled twin."""
        super().initialize_module()
        self.forward_ = torch.compile(self.module_) if self.settings.compile else self.module_
        return self

    def initialize_optimizer(self):
        """Decay the weights of convolutions and linear layers only, as the paper does."""
        groups = [
            {"params": parameters, "weight_decay": weight_decay}
            for parameters, weight_decay in zip(
                parameter_groups(self.module_), (self.settings.weight_decay, 0.0), strict=True
            )
        ]
        optimizer = self.settings.optimizer
        make = OPTIMIZERS[optimizer] if isinstance(optimizer, str) else optimizer
        self.optimizer_ = make(groups, lr=self.lr)
        return self

    def notify(self, method_name, **kwargs):
        """Take a callback's KeyboardInterrupt for what skorch means by it: training is done."""
        try:
            super().notify(method_name, **kwargs)
        except KeyboardInterrupt as request:
            if method_name != "on_epoch_end":
                raise
            raise _TrainingDone from request

    def get_iterator(self, dataset, training=False):
        """Hand the samples to ``run_single_epoch``, which slices them itself."""
        return dataset

    def infer(self, x, *, module=None, **fit_params):
        """Outputs of the net's module, or of another, as float32, in the precision asked for."""
        low = self.settings.precision == "bfloat16"
        with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=low):
            return (module or self.forward_)(x).float()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Weighted mean of the losses of a batch."""
        y, weight = y_true
        loss = self.criterion_(y_pred, y)
        loss = loss if loss.ndim == 1 else loss.mean(1)
        return (loss if weight is None else loss * weight).mean()

    def train_step_single(self, batch, **fit_params):
        """Forward and backward of one batch."""
        X, y = batch
        y_pred = self.infer(X)
        loss = self.get_loss(y_pred, y, X=X, training=True)
        loss.backward()
        return {"loss": loss, "y_pred": y_pred}

    def run_single_epoch(self, iterator, training, prefix, step_fn, **fit_params):
        """Train on every sample once, or score the validation samples."""
        if iterator is None:
            return
        start = time.perf_counter()
        if training:
            self._train_epoch(iterator, step_fn)
        else:
            self._validate(iterator)
        seconds = time.perf_counter() - start
        self.history.record("seconds", seconds + self.history[-1].get("seconds", 0.0))

    def _train_epoch(self, samples, step_fn):
        epoch, device = len(self.history), self.device
        generators = {
            purpose: make_generator(self.settings.seed, purpose, epoch, where)
            for purpose, where in (("order", "cpu"), ("augment", device), ("dropout", device))
        }
        set_dropout_generator(self.module_, generators["dropout"])
        # One row has no variance for batch norm to learn from.
        self.module_.train(len(samples) > 1)
        n_steps = len(batch_slices(len(samples), self.batch_size))
        total = torch.zeros((), dtype=torch.float32, device=device)
        columns = _shrinking_layers(self.module_)
        with closing(samples.batches(generators["order"], self.batch_size)) as batches:
            for step, (rows, (X, y)) in enumerate(batches):
                self.n_epochs_done_ = epoch - 1 - self.first_epoch_ + step / n_steps
                self._set_lr(self.n_epochs_done_ / self.max_epochs)
                X = apply_augmentation(self.settings.augment, X, generators["augment"])
                self.notify("on_batch_begin", batch=(X, y), training=True)
                result = self._step(step_fn, (X, y), samples, rows)
                self._shrink(columns)
                total += result["loss"].detach() * len(rows)
                self.notify("on_batch_end", batch=(X, y), training=True, **result)
        loss = float(total) / len(samples)
        self._record_training(loss)
        if not math.isfinite(loss):
            self._refuse(f"the training loss became {loss}", samples)

    def _step(self, step_fn, batch, samples, rows):
        """Take a step; if the memory does not suffice, say how many rows it suffices for."""
        try:
            return step_fn(batch)
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)  # what the step had computed
            kind, reason = torch.OutOfMemoryError, str(error)
        except (RuntimeError, MemoryError) as error:
            if not _ran_out_of_memory(error):
                raise
            kind, reason = MemoryError, str(error)
        del batch
        advice = "try a smaller one"  # trying on the CPU itself may end the process
        if kind is torch.OutOfMemoryError:
            size = self._size_that_fits(samples, rows)
            advice = f"batch_size={size} would fit" if size else "no other would fit"
        raise kind(
            f"device {self.device!r} ran out of memory in a step of {len(rows)} samples with "
            f"batch_size={self.batch_size}; {advice} ({reason})"
        )

    def _size_that_fits(self, samples, rows):
        """The largest half, quarter ... of a batch for which there is memory, or None."""
        size = len(rows) // 2
        while size >= 2 and not self._fits(samples, rows[:size]):
            size //= 2
        return size if size >= 2 else None

    def _fits(self, samples, rows):
        """Whether there is memory for a step with these rows."""
        try:
            remembered = [torch.empty_like(p) for p in self.module_.parameters() for _ in range(2)]
            self.train_step_single(samples[rows])
            del remembered
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
            return False
        finally:
            self.optimizer_.zero_grad(set_to_none=True)
        return True

    def _shrink(self, layers):
        """Take as much off every column's norm, where weight decay would take the same share.

        So columns of noise fade, and those that tell something lose less than by weight decay.
        """
        lr, decay = self.optimizer_.param_groups[0]["lr"], self.settings.weight_decay
        strength = min(_SHRINKAGE * decay, max(decay, LARGEST_DECAY / self.lr))
        for layer in layers:
            layer.shrink(lr * strength)

    def _set_lr(self, progress):
        if self.lr_schedule_ != "constant":  # which leaves it to the callbacks
            for group in self.optimizer_.param_groups:
                group["lr"] = self.lr * lr_factor(self.lr_schedule_, progress)

    def _record_training(self, loss):
        self.history.record("train_loss", loss)
        self.history.record("lr", float(self.optimizer_.param_groups[0]["lr"]))

    def _refuse(self, problem, samples):
        cause = f"most likely lr={self.lr} is too high"
        if hasattr(samples, "scaler"):  # others scale every patch by itself, or hold images
            normalize = self.settings.normalize
            cause += f", or X holds extreme values that {normalize=} leaves in"
        raise ValueError(f"{problem} in epoch {len(self.history)}: {cause}")

    def _validate(self, samples):
        ascending = np.argsort(samples.rows)  # as a stream is read
        rows = samples.rows[ascending]
        outputs = self.predict_blocks(samples.X, samples.scaler, rows=rows)
        if not np.isfinite(outputs).all() and not self._is_finite_at_zero(samples):
            self._refuse("the outputs became infinite or NaN", samples)
        check_outputs(outputs, samples.X, rows, name="X" if self.holds_out_ else "X_val")
        outputs = outputs[np.argsort(ascending)]
        y, weight = samples.y.cpu(), None if samples.weight is None else samples.weight.cpu()
        loss = self.get_loss(torch.from_numpy(outputs), (y, weight))
        score = self.score(y.numpy(), outputs, None if weight is None else weight.numpy())
        self._record_validation(loss, score)

    @torch.inference_mode()
    def _is_finite_at_zero(self, samples):
        """Whether no weights have gone astray: extreme values may be to blame."""
        zeros = torch.zeros((1, *samples.X.shape[1:]), dtype=torch.float32, device=self.device)
        return bool(self.infer(zeros).isfinite().all())

    def _record_validation(self, loss, score):
        self.history.record("valid_loss", float(loss))
        self.history.record("valid_score", float(score))
        # What skorch's Checkpoint looks for.
        losses = [row["valid_loss"] for row in self.history[self.first_epoch_ :]]
        self.history.record("valid_loss_best", losses[-1] <= min(losses))

    @torch.inference_mode()
    def predict_blocks(self, X, scaler, *, rows=None, method=None, views=((),)):
        """Outputs of the module, or of one of its methods, for X or some rows of it.

        Every block has :func:`rows_per_block` rows, the last one filled up with zeros; outputs are
        averaged over ``views``, see :func:`find_views`.
        """
        self.module_.eval()
        module = None if method is None else getattr(self.module_, method)
        infer = functools.partial(self.infer, module=module)
        with closing(prediction_blocks(X, scaler, self.device, rows)) as blocks:
            outputs = torch.cat([average_over(views, block, infer) for block in blocks])
        return outputs[: len(X) if rows is None else len(rows)].cpu().numpy()


def check_outputs(outputs, X, rows, *, first=0, name="X"):
    """ValueError that names the first sample, ``rows`` of X, whose outputs are not finite."""
    finite = np.isfinite(outputs).all(axis=1)
    if finite.all():
        return
    row = int(rows[np.argmin(finite)])
    largest = np.abs(X[row : row + 1].astype(np.float64)).max()
    raise ValueError(
        f"the network's output for sample {first + row} is not finite: {name} holds values far "
        f"beyond those seen in fit, up to {largest:.3g}"
    )


def _ran_out_of_memory(error):
    """Whether the CPU did; torch and oneDNN have no type of their own for it."""
    signs = ("can't allocate memory", "could not create a primitive")
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)


def parameter_groups(module):
    """Weights of convolutions and linear layers, which decay, and all other parameters.

    NOTE[DIFF] The weights of columns in a table are among the others: they are shrunk instead.
    """
    shrunk = {id(p) for layer in _shrinking_layers(module) for p in layer.shrunk_parameters()}
    groups = [], []
    for parameter in module.parameters():
        groups[parameter.ndim <= 1 or id(parameter) in shrunk].append(parameter)
    return groups


def _shrinking_layers(module):
    return [layer for layer in module.modules() if isinstance(layer, ColumnLinear)]


def set_dropout_generator(module, generator):
    """Let every dropout layer draw from ``generator``."""
    for layer in module.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator


def is_skorch_callback(callback, kind=Callback):
    """Whether skorch takes it: a callback, its class, or a pair of a name and one of them."""
    if isinstance(callback, tuple):
        callback = callback[-1]
    return isinstance(callback, kind) or (isinstance(callback, type) and issubclass(callback, kind))


def is_scoring_callback(callback):
    """Whether it is one of skorch's callbacks that make the net predict while it trains."""
    return is_skorch_callback(callback, (BatchScoring, EpochScoring))


def make_network(
    settings,
    make_module,
    criterion,
    score,
    *,
    kind=Network,
    callbacks=None,
    verbose=0,
    weights=None,
):
    """Net over a new module whose weights are drawn from the seed.

    ValueError before anything is allocated if ``weights``, which are to be set, are of another one.
    """
    module = outline(make_module, weights)
    empty = {
        name: torch.empty(t.shape, dtype=t.dtype, device="cpu")
        for name, t in module.state_dict().items()
    }
    module.load_state_dict(empty, assign=True)  # to_empty would import half of torch
    module.reset_parameters(make_generator(settings.seed, "weights"))
    net = kind(
        module,
        criterion=criterion,
        **{f"criterion__{name}": value for name, value in kind.criterion_options.items()},
        lr=settings.lr,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        train_split=None,
        callbacks=list(callbacks or []),
        device=settings.device,
        verbose=verbose,
        settings=settings,
        score=score,
    )
    net.initialize()
    net.first_epoch_ = 0
    net.module_.eval()
    return net


def same_optimizer(one, other):
    """Whether both name the same optimizer, also as partials with the same arguments."""
    if isinstance(one, functools.partial) and isinstance(other, functools.partial):
        parts = ((p.func, p.args, p.keywords) for p in (one, other))
        return next(parts) == next(parts)
    return one == other


def same_options(one, other):
    """Whether two nets would train alike from the same state."""
    options = (
        (replace(n.settings, optimizer=None), n.criterion, n.callbacks, n.verbose)
        for n in (one, other)
    )
    return next(options) == next(options)


# --- training ------------------------------------------------------------------------------------


class _TrainingDone(Exception):
    """Raised at the end of an epoch by whoever has seen enough."""


class EpochTasks(Callback):
    """Tell scikit-learn's callbacks about every epoch; one of them may end the training.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    estimator : estimator
    attributes : callable
        ``attributes(net)`` gives the attributes that ``estimator`` would have if training ended.
    X, y : array-like
        What ``fit`` was given.
    """

    def __init__(self, context, estimator, attributes, X, y):
        self.context, self.attributes = context, attributes
        self.subject = {"estimator": estimator, "X": X, "y": y}

    def on_epoch_begin(self, net, **kwargs):
        self.task = self.context.subcontext(task_name="epoch")
        self.task.call_on_fit_task_begin(**self.subject)

    def on_epoch_end(self, net, **kwargs):
        attributes = functools.partial(self.attributes, net)
        if self.task.call_on_fit_task_end(**self.subject, reconstruction_attributes=attributes):
            raise _TrainingDone


class _Progress(Callback):
    """Show on standard error how far the training is."""

    def __init__(self, net):
        self.line = ProgressLine(net.max_epochs, len(net.history) - net.first_epoch_)

    def on_batch_end(self, net, **kwargs):
        if net.n_epochs_done_ > self.line.first and self.line.is_late():
            row = net.history[-2] if len(net.history) - net.first_epoch_ > 1 else {}
            self.line.show(net.n_epochs_done_, row)

    def on_epoch_end(self, net, **kwargs):
        self.line.update(len(net.history) - net.first_epoch_, net.history[-1])

    def close(self, net):
        if net.history:
            self.line.close(len(net.history) - net.first_epoch_, net.history[-1])


class _EarlyStopping(Callback):
    """Keep the weights of the best epoch and end training ``patience`` epochs after it."""

    def __init__(self, patience):
        self.patience = patience
        self.best, self.weights, self.n_epochs_since = None, None, 0

    def on_epoch_end(self, net, **kwargs):
        last = net.history[-1]
        result = (last["valid_score"], -last["valid_loss"])
        self.n_epochs_since += 1
        if self.best is None or result > self.best:
            self.best, self.n_epochs_since = result, 0
            self.weights = {k: v.clone() for k, v in net.module_.state_dict().items()}
        if self.n_epochs_since >= self.patience:
            raise _TrainingDone

    def restore(self, net):
        if self.weights is not None:
            net.module_.load_state_dict(self.weights)


class _Keeping(Callback):
    """Keep in a checkpoint, after an epoch, what training goes on from."""

    def __init__(self, checkpoint, stopping):
        self.checkpoint, self.stopping = checkpoint, stopping

    def on_epoch_end(self, net, **kwargs):
        if self.checkpoint.is_due():
            stopping = {**vars(self.stopping), "weights": _to_arrays(self.stopping.weights)}
            self.checkpoint.write(
                {
                    "seed": net.settings.seed,
                    "first_epoch": net.first_epoch_,
                    "net": get_state(net),
                    "stopping": stopping,
                }
            )

    def resume(self, net):
        if self.checkpoint.state is None:
            return
        try:
            self._take(net, self.checkpoint.state)
        except Exception as error:
            raise ValueError(
                f"the checkpoint {self.checkpoint.newest} holds no state of this fit and was "
                f"removed, fit again to begin anew: {error!r:.200}"
            ) from error
        if net.callbacks:
            warnings.warn(
                f"training goes on from a checkpoint, but the callbacks {net.callbacks} begin "
                "anew: if they remember anything, the result may differ from that of one run",
                UserWarning,
                stacklevel=7,
            )

    def _take(self, net, state):
        remembered, first_epoch = state["stopping"], state["first_epoch"]
        expected, patience = sorted(vars(self.stopping)), self.stopping.patience
        expect(sorted(remembered) == expected, f"a memory of {expected}", sorted(remembered))
        found = remembered["patience"]
        expect(found == patience, f"a patience of {patience}", found)
        set_state(net, state["net"])
        expect(0 <= first_epoch <= len(net.history), "a first epoch of the history", first_epoch)
        net.first_epoch_ = first_epoch
        vars(self.stopping).update(remembered)
        self.stopping.weights = _to_tensors(self.stopping.weights)


def train(
    net,
    samples,
    validation=None,
    *,
    patience=None,
    epochs=None,
    lr_schedule=None,
    watchers=(),
    checkpoint=None,
):
    """Train for ``epochs``, or until ``patience`` epochs passed without a better validation score.

    ``watchers`` are callbacks of this run alone. With patience the weights of the best epoch are
    restored, also after an interruption, which goes on to the caller. A checkpoint keeps the state
    of the run, which begins with what was read from it.
    """
    net.max_epochs = net.settings.max_epochs if epochs is None else epochs
    net.lr_schedule_ = lr_schedule or net.settings.lr_schedule
    schedulers = [c for _, c in net.callbacks_ if isinstance(c, LRScheduler)]
    if schedulers and net.lr_schedule_ != "constant":
        raise ValueError(
            f"lr_schedule={net.lr_schedule_!r} sets the learning rate of every step; beside the "
            "callback LRScheduler expected 'constant'"
        )
    net.first_epoch_ = len(net.history)
    net.train_split = None if validation is None else predefined_split(validation)
    net.holds_out_ = vars(samples).get("X") is vars(validation or samples).get("X")
    for group in net.optimizer_.param_groups:
        group["lr"] = net.lr
    callbacks = net.callbacks_
    stopping = _EarlyStopping(patience)
    if patience is not None:
        watchers = [*watchers, stopping]
    if checkpoint is not None:
        watchers = [*watchers, keeping := _Keeping(checkpoint, stopping)]
        keeping.resume(net)
    n_done = len(net.history) - net.first_epoch_
    bars = [_Progress(net)] if net.verbose == 1 else []
    watchers = [*bars, *watchers]  # the bar first: the others may end the training
    net.callbacks_ = [*callbacks, *((type(watcher).__name__, watcher) for watcher in watchers)]
    net.notify("on_train_begin", X=samples, y=None)
    try:
        net.fit_loop(samples, epochs=net.max_epochs - n_done)
    except _TrainingDone:
        pass
    finally:
        stopping.restore(net)
        net.callbacks_ = callbacks
        net.train_split = None  # it holds all of X
        set_dropout_generator(net.module_, None)
        net.module_.eval()
        if net.history and "train_loss" not in net.history[-1]:
            del net.history[-1]  # an epoch that did not come to its end
        for bar in bars:
            bar.close(net)
    net.notify("on_train_end", X=samples, y=None)


# --- state as NumPy arrays -----------------------------------------------------------------------


def get_state(net):
    """Weights, optimizer state and history as NumPy arrays, numbers and names."""
    return {
        "module": _to_arrays(net.module_.state_dict()),
        "optimizer": _to_arrays(net.optimizer_.state_dict()),
        "history": [dict(row) for row in net.history],
    }


def set_state(net, state):
    """Inverse of :func:`get_state`; the optimizer keeps the net's own options, as weight decay.

    Its learning rate, which training sets anew, is the last one in use.
    """
    net.module_.load_state_dict(_to_tensors(state["module"]))
    groups = net.optimizer_.param_groups
    options = [{k: v for k, v in group.items() if k not in ("params", "lr")} for group in groups]
    net.optimizer_.load_state_dict(_to_tensors(state["optimizer"]))
    for group, own in zip(net.optimizer_.param_groups, options, strict=True):
        group.update(own)
    net.history.clear()
    for row in state["history"]:
        net.history.new_epoch()
        for key, value in row.items():
            net.history.record(key, value)


def _to_arrays(value):
    return _map_leaves(value, torch.Tensor, _to_array)


def _to_array(tensor):
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.float64:  # optimizers count in torch's default type
        tensor = tensor.float()
    return tensor.numpy().copy()


def _to_tensors(value):
    return _map_leaves(value, np.ndarray, functools.partial(torch.tensor, device="cpu"))


def _map_leaves(value, kind, change):
    if isinstance(value, kind):
        return change(value)
    if isinstance(value, dict):
        return {key: _map_leaves(item, kind, change) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_map_leaves(item, kind, change) for item in value)
    return value
