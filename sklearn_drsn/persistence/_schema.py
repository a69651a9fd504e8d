"""What the state of an estimator may hold; whatever else a file says is refused.

A checksum tells accidents from files as they were written, but whoever writes a file writes its
checksum too. So a state is looked at before anything is built from it: its names and types, that
its parts belong together and hold numbers that a fit can give, and that the network is no larger
than the weights that are there.
"""

import math
from dataclasses import fields
from numbers import Real

import numpy as np

from sklearn_drsn.estimators import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)
from sklearn_drsn.estimators._base import summarise
from sklearn_drsn.estimators._denoising import PatchScaler
from sklearn_drsn.estimators._expectations import expect, naming
from sklearn_drsn.estimators._outline import check_sizes, outline
from sklearn_drsn.estimators._patterns import PATTERNS
from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler
from sklearn_drsn.estimators._training import Settings, parameter_groups
from sklearn_drsn.wavelets import check_recipe

__all__ = ["ESTIMATORS", "check_state"]

_COMMON = {
    "n_features_in_": int,
    "feature_names_in_": np.ndarray,
    "_sklearn_output_config": dict,
}
_NET = {
    "_architecture": dict,
    "_settings": dict,
    "_net_state": dict,
    "device_": str,
    "history_": list,
    "n_iter_": int,
    "best_epoch_": int,
}
_ROWS = {
    **_COMMON,
    **_NET,
    "input_shape_": tuple,
    "_input_scaler": InputScaler,
    "_pattern": str | None,
    "_weight_decay": Real,
    "_n_bent": int,
}
_IMAGES = {**_NET, "_n_channels": int}
_ATTRIBUTES = {
    DRSNClassifier: {**_ROWS, "classes_": np.ndarray},
    DRSNRegressor: {**_ROWS, "_target_shape": tuple, "_target_scaler": TargetScaler},
    SoftThresholdDenoiser: {
        **_COMMON,
        **_NET,
        "_n_dims": int,
        "_window": tuple,
        "window_length_": (int, tuple),
        "_scale": PatchScaler,
        "supervision_": str,
        "_teacher": str,
        "noise_level_": tuple,
        "_error": np.ndarray,
    },
    DnCNNDenoiser: _IMAGES,
    MACRDeblurrer: _IMAGES,
    MSRNSuperResolver: _IMAGES,
    CSSFNSuperResolver: _IMAGES,
    SoftThresholdTransformer: {
        **_COMMON,
        "_n_dims": int,
        "rule_": (str, Real),
        "wavelet_": (str, tuple),
        "_options": dict,
        "noise_level_": (Real, np.ndarray),
        "selection_report_": list,
    },
}
_OPTIONAL = {
    "feature_names_in_",
    "_sklearn_output_config",
    "noise_level_",
    "selection_report_",
    "_pattern",
    "_weight_decay",
    "_n_bent",
    "_options",
}
ESTIMATORS = {cls.__name__: cls for cls in _ATTRIBUTES}
_LARGEST_SAMPLE = 2**40  # values
_NO_SEED = np.iinfo(np.int32).max  # and none above
_CONTAINERS = ("default", "pandas", "polars")
_MEMORIES = {
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "nadam": {"step", "exp_avg", "exp_avg_sq", "mu_product"},
    "sgd": {"momentum_buffer"},
}
# By the last part of their names: these are never negative, and mean squares may have overflowed.
_MEAN_SQUARES = {"exp_avg_sq", "running_var"}
_POSITIVE = {*_MEAN_SQUARES, "mu_product", "num_batches_tracked", "step"}


def check_state(cls, state):
    """ValueError unless ``state`` is one that an estimator of ``cls`` can have."""
    parameters = _check_names(cls, state)
    estimator = cls(**parameters)
    estimator._validate_params()
    if cls is not SoftThresholdTransformer:
        estimator._check_parameters()
    if len(state) == len(parameters):
        return
    if cls is not SoftThresholdTransformer:
        with naming("_settings"):
            _check_settings(cls, state["_settings"], parameters)
        with naming("_net_state"):
            _check_network(cls._network, state)
        with naming("history_"):
            _check_history(state)
    _check_parts(state)


def _check_names(cls, state):
    """The parameters of the state."""
    names = set(cls._get_param_names())
    attributes = _ATTRIBUTES[cls]
    expect(names <= set(state), f"all parameters of {cls.__name__}", sorted(state))
    fitted = set(state) - names
    unknown = fitted - set(attributes)
    expect(not unknown, f"attributes that {cls.__name__} has", sorted(unknown))
    missing = set(attributes) - _OPTIONAL - fitted if fitted else ()
    expect(not missing, f"a fitted {cls.__name__} that lacks nothing", sorted(missing))
    for name in fitted:
        value = state[name]
        kind = attributes[name]
        right = isinstance(value, kind) and not isinstance(value, bool)
        expect(right, f"{name} to be {kind}", value)
    return {name: state[name] for name in names}


def _check_settings(cls, settings, parameters):
    names = {field.name for field in fields(Settings)}
    expect(set(settings) == names, f"settings {sorted(names)}", sorted(settings))
    seed = settings["seed"]
    expect(type(seed) is int and 0 <= seed < _NO_SEED, "a seed", seed)
    changed = {name: settings[name] for name in names & set(parameters)}
    cls(**{**parameters, **changed})._check_parameters()
    cls(**{**parameters, **changed})._validate_params()
    for name in names - set(parameters) - {"seed"}:
        expect(settings[name] is None, f"no {name}", settings[name])


# --- the network ---------------------------------------------------------------------------------


def _check_network(network, state):
    """The weights are those of the network, which is not built with storage before that is so."""
    net_state, architecture = state["_net_state"], state["_architecture"]
    kinds = {"module": dict, "optimizer": dict, "history": list}
    _check_kinds("a net's state", net_state, kinds)
    weights = net_state["module"]
    check_sizes(architecture, weights)
    module = outline(lambda: network(**architecture), weights)
    for name, array in weights.items():
        _check_numbers(name, array)
    shapes = [[tuple(p.shape) for p in group] for group in parameter_groups(module)]
    _check_optimizer(net_state["optimizer"], state["_settings"]["optimizer"], *shapes)


def _check_kinds(name, value, kinds):
    """A dict of these keys and the kinds of their values."""
    expect(isinstance(value, dict) and set(value) == set(kinds), f"{name} of {set(kinds)}", value)
    for key, kind in kinds.items():
        expect(isinstance(value[key], kind), f"{key} to be a {kind.__name__}", value[key])


def _check_numbers(name, array):
    """Finite, but for mean squares, and not negative where that makes no sense."""
    kind = name.rpartition(".")[2]
    right = array >= 0 if kind in _POSITIVE else np.ones(array.shape, bool)
    if kind not in _MEAN_SQUARES:
        right = right & np.isfinite(array)
    expectation = "positive" if kind in _MEAN_SQUARES else "finite"
    expect(right.all(), f"{expectation} values in {name!r}", array[~right][:3])


def _check_optimizer(optimizer, name, decaying, others):
    """What the optimizer remembers fits the parameters, those that decay first."""
    _check_kinds("an optimizer's state", optimizer, {"state": dict, "param_groups": list})
    shapes = [*decaying, *others]
    numbers = list(range(len(shapes)))
    groups = optimizer["param_groups"]
    expect(_is_plain(groups) and all(isinstance(g, dict) for g in groups), "plain groups", groups)
    groups = [group.get("params") for group in groups]
    expected = [numbers[: len(decaying)], numbers[len(decaying) :]]
    expect(groups == expected, f"parameters in groups {expected}", groups)
    for number, memory in optimizer["state"].items():
        expect(type(number) is int and number in numbers, "the number of a parameter", number)
        expect(set(memory) == _MEMORIES[name], f"a memory of {name}", sorted(memory))
        for key, value in memory.items():
            if value is not None:
                right = isinstance(value, np.ndarray) and value.dtype == np.float32
                right = right and value.shape in ((), shapes[number])
                expect(right, f"a memory of shape {shapes[number]}", value)
                _check_numbers(f"memory {number}.{key}", value)


# --- the history ---------------------------------------------------------------------------------


def _check_history(state):
    rows = state["_net_state"]["history"]
    for epoch, row in enumerate(rows, 1):
        _check_epoch(epoch, row)
    n_epochs, best = len(rows), state["best_epoch_"]
    expect(state["n_iter_"] == n_epochs, f"n_iter_={n_epochs}, as in the history", state["n_iter_"])
    expect(min(1, n_epochs) <= best <= n_epochs, f"best_epoch_ of 1 to {n_epochs}", best)
    found, expected = state["history_"], summarise(rows)
    expect(len(found) == n_epochs, f"a history_ of {n_epochs} epochs", len(found))
    for row, counterpart in zip(found, expected, strict=True):
        expect(repr(row) == repr(counterpart), f"history_ to hold {counterpart}", row)


def _check_epoch(epoch, row):
    """What the net recorded in an epoch, and whatever its callbacks did."""
    expect(isinstance(row, dict) and _is_plain(row), f"epoch {epoch} to be plain", row)
    recorded = {"epoch", "train_loss", "lr", "seconds"}
    expect(recorded <= set(row), f"epoch {epoch} to have {sorted(recorded)}", sorted(row))
    expect(type(row["epoch"]) is int and row["epoch"] == epoch, f"epoch {epoch}", row["epoch"])
    for name in (recorded | {"valid_loss", "valid_score"}) & set(row):
        expect(_is_number(row[name]), f"{name} of epoch {epoch} to be a number", row[name])
    for name in recorded:
        finite = np.isfinite(row[name]) and (name == "train_loss" or row[name] >= 0)
        expect(finite, f"a {name} of epoch {epoch} that training can have", row[name])


def _is_number(value):
    return isinstance(value, Real) and not isinstance(value, bool)


def _is_plain(value):
    if isinstance(value, dict):
        names = all(isinstance(key, str) for key in value)
        return names and all(map(_is_plain, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, Real | np.bool_ | str)


# --- parts that belong together ------------------------------------------------------------------


def _check_parts(state):
    for name, check in _PARTS.items():
        if name in state:
            with naming(name):
                check(state)


def _check_classes(state):
    classes = state["classes_"]
    expect(classes.ndim == 1, "classes_ of one axis", classes.shape)
    labels = all(isinstance(label, str | Real | np.generic) for label in classes)
    expect(labels, "classes_ of labels", classes)
    expect(np.array_equal(np.unique(classes), classes), "classes_ in order", classes)
    n_outputs = state["_architecture"]["n_outputs"]
    expect(len(classes) == n_outputs, f"{n_outputs} classes", len(classes))


def _check_samples(state):
    shape, architecture = state["input_shape_"], state["_architecture"]
    _check_shape("input_shape_", shape)
    expected = architecture["n_channels"], architecture["dim"]
    expect((shape[0], len(shape) - 1) == expected, f"{expected} channels and axes", shape)
    sizes = {shape[0], math.prod(shape)}  # the second where rows are given a shape
    expect(state["n_features_in_"] in sizes, f"one of {sizes} features", state["n_features_in_"])


def _check_weight_decay(state):
    decay = state["_weight_decay"]
    expect(0 <= decay < math.inf, "a weight decay", decay)


def _check_pattern(state):
    pattern = state["_pattern"]
    expect(pattern in (*PATTERNS, None), f"one of {PATTERNS}", pattern)


def _check_columns(state):
    expected = state["_architecture"]["n_bent"] or 0
    expect(state["_n_bent"] == expected, f"{expected} columns that bend", state["_n_bent"])
    bent = state["_net_state"]["module"].get("stem.bent", np.arange(0))
    n_channels = state["_architecture"]["n_channels"]
    expect(all(bent >= 0) and all(bent < n_channels), f"columns below {n_channels}", bent)
    relevance = state["_net_state"]["module"].get("stem.relevance", np.arange(0))
    expect(all(relevance > 0) and all(relevance <= 1), "a relevance above 0, at most 1", relevance)


def _check_input_scaler(state):
    scaler = vars(state["_input_scaler"])
    mode, statistics = scaler.get("mode"), {"centre_", "reach_", "mean_", "scale_"}
    expect(mode in ("channel", "sample", None), "a mode of scaling", mode)
    expected = {"mode", *(statistics if mode == "channel" else ())}
    expect(set(scaler) == expected, f"a scaler with {sorted(expected)}", sorted(scaler))
    if mode == "channel":
        n_channels = state["_architecture"]["n_channels"]
        _check_scaling(scaler, n_channels)
        _check_statistic("centre_", scaler["centre_"], (n_channels,))
        _check_statistic("reach_", scaler["reach_"], (n_channels,))
        expect((scaler["reach_"] > 0).all(), "positive distances in reach_", scaler["reach_"])


def _check_target_scaler(state):
    scaler, shape = vars(state["_target_scaler"]), state["_target_shape"]
    expect(set(scaler) == {"mean_", "scale_"}, "a scaler of targets", sorted(scaler))
    n_outputs = state["_architecture"]["n_outputs"]
    if shape:
        _check_shape("_target_shape", shape)
    expect(len(shape) < 2 and math.prod(shape) == n_outputs, f"{n_outputs} targets", shape)
    _check_scaling(scaler, n_outputs)


def _check_scaling(scaler, n_columns):
    for name in ("mean_", "scale_"):
        _check_statistic(name, scaler[name], (n_columns,))
    expect((scaler["scale_"] > 0).all(), "positive deviations in scale_", scaler["scale_"])


def _check_patch_scaler(state):
    scaler, architecture = vars(state["_scale"]), state["_architecture"]
    expected = {"centre", "highest", "lowest"}
    expect(set(scaler) == expected, f"a scaler with {sorted(expected)}", sorted(scaler))
    for name, statistic in {**scaler, "_error": state["_error"]}.items():
        shape = (1, architecture["n_channels"], *(1,) * architecture["dim"])
        _check_statistic(name, statistic, shape)
    ordered = (scaler["lowest"] <= scaler["highest"]).all()
    expect(ordered, f"a highest offset of at least {scaler['lowest']}", scaler["highest"])
    expect((state["_error"] >= 0).all(), "_error to be a power", state["_error"])


def _check_windows(state):
    window, n_dims, architecture = state["_window"], state["_n_dims"], state["_architecture"]
    _check_shape("_window", window)
    expect(len(window) == architecture["dim"], f"_window of {architecture['dim']} axes", window)
    expect(n_dims in (2, 3, 4), "2 to 4 dimensions", n_dims)
    expect(max(n_dims, 3) - 2 == architecture["dim"], "a window for each axis", n_dims)
    length = window[0] if len(window) == 1 else window
    expect(state["window_length_"] == length, f"window_length_={length}", state["window_length_"])
    n_channels = 1 if n_dims == 2 else state["n_features_in_"]
    found = architecture["n_channels"]
    expect(found == n_channels, f"{n_channels} channels in _architecture", found)


def _check_supervision(state):
    kind, levels = state["supervision_"], state.get("noise_level_", ())
    expect(kind in ("clean", "self", "synthetic"), "a kind of supervision_", kind)
    teachers, teacher = ("sure", "blind_spot") if kind == "self" else (kind,), state["_teacher"]
    expect(teacher in teachers, f"a teacher of {kind} among {teachers}", teacher)
    plain = len(levels) == 2 and all(map(_is_number, levels))
    ordered = plain and 0 <= levels[0] <= levels[1] < math.inf
    expect(ordered, "a lowest and a highest noise_level_", levels)


def _check_channels(state):
    expected = state["_architecture"]["n_channels"]
    expect(state["_n_channels"] == expected, f"_n_channels={expected}", state["_n_channels"])


def _check_rule(state):
    names = {*SoftThresholdTransformer._get_param_names()} - {"rule", "wavelet"}
    options = state.get("_options", {name: state[name] for name in names})
    expect(set(options) == names, f"options {sorted(names)}", sorted(options))
    transformer = SoftThresholdTransformer(state["rule_"], wavelet=state["wavelet_"], **options)
    transformer._validate_params()
    check_recipe(transformer._asked_for())
    expect(state["rule_"] != "auto", "rule_ to be what was chosen", state["rule_"])
    n_dims = state["_n_dims"]
    expect(n_dims in (2, 3), "2 or 3 dimensions", n_dims)
    pooled = options["noise_level"] == "pooled"
    expect("noise_level_" in state or not pooled, "a pooled noise_level_", sorted(state))
    if "noise_level_" in state:
        level, shape = np.asarray(state["noise_level_"]), (state["n_features_in_"],)[: n_dims - 2]
        right = level.dtype.kind == "f" and level.shape == shape
        expect(right, f"noise_level_ of shape {shape}", level)
        expect((level >= 0).all() and np.isfinite(level).all(), "finite noise levels", level)
    _check_report(state)


def _check_report(state):
    names = ("rule", "wavelet", "error")
    for row in state.get("selection_report_", ()):
        expect(isinstance(row, dict) and tuple(row) == names, f"a report of {names}", row)
        expect(_is_number(row["error"]), "an error of a rule", row["error"])
    for row in state.get("selection_report_", ())[:1]:
        chosen = state["rule_"], state["wavelet_"]
        expect((row["rule"], row["wavelet"]) == chosen, f"a report that begins with {chosen}", row)


def _check_shape(name, shape):
    sizes = len(shape) > 0 and all(type(size) is int and size > 0 for size in shape)
    expect(sizes, f"{name} of positive integers", shape)
    expect(math.prod(shape) <= _LARGEST_SAMPLE, f"{name} that a sample can have", shape)


def _check_statistic(name, array, shape):
    right = isinstance(array, np.ndarray) and array.shape == shape and array.dtype == np.float64
    expect(right, f"{name} of shape {shape} in float64", array)
    expect(np.isfinite(array).all(), f"{name} to be finite", array)


def _check_number_of_features(state):
    n_features = state["n_features_in_"]
    expect(0 < n_features < _LARGEST_SAMPLE, f"1 to {_LARGEST_SAMPLE} features", n_features)


def _check_output(state):
    for name, container in state["_sklearn_output_config"].items():
        known = name == "transform" and container in _CONTAINERS
        expect(known, f"one of {_CONTAINERS} for transform", {name: container})


def _check_names_of_features(state):
    names = state["feature_names_in_"]
    right = names.ndim == 1 and all(isinstance(name, str) for name in names.tolist())
    expect(right and len(names) == state["n_features_in_"], "names of all features", names)


_PARTS = {
    "classes_": _check_classes,
    "n_features_in_": _check_number_of_features,
    "feature_names_in_": _check_names_of_features,
    "input_shape_": _check_samples,
    "_input_scaler": _check_input_scaler,
    "_target_scaler": _check_target_scaler,
    "_weight_decay": _check_weight_decay,
    "_n_bent": _check_columns,
    "_pattern": _check_pattern,
    "_scale": _check_patch_scaler,
    "_window": _check_windows,
    "supervision_": _check_supervision,
    "_n_channels": _check_channels,
    "_sklearn_output_config": _check_output,
    "rule_": _check_rule,
}
