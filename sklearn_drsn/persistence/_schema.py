"""What the state of an estimator may hold; whatever else a file says is refused.

A checksum tells accidents from files as they were written, but whoever writes a file writes its
checksum too. So a state is looked at before anything is built from it: its names and types, that
its parts belong together, and that the network is no larger than the weights that are there.
"""

import math
from dataclasses import fields
from numbers import Real

import numpy as np
import torch

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
from sklearn_drsn.estimators._denoising import PatchScaler
from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler
from sklearn_drsn.estimators._training import Settings, parameter_groups
from sklearn_drsn.networks import CSSFN, DRSN, MACR, MSRN, DnCNN
from sklearn_drsn.networks._denoiser import DenoisingDRSN
from sklearn_drsn.wavelets import check_recipe

__all__ = ["ESTIMATORS", "check_state"]

_NETWORKS = {
    DRSNClassifier: DRSN,
    DRSNRegressor: DRSN,
    SoftThresholdDenoiser: DenoisingDRSN,
    DnCNNDenoiser: DnCNN,
    MACRDeblurrer: MACR,
    MSRNSuperResolver: MSRN,
    CSSFNSuperResolver: CSSFN,
    SoftThresholdTransformer: None,
}
ESTIMATORS = {cls.__name__: cls for cls in _NETWORKS}
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
    "_aligned": bool | None,
    "_weight_decay": float,
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
        "noise_level_": (Real, np.ndarray),
        "selection_report_": list,
    },
}
_OPTIONAL = {
    "feature_names_in_",
    "_sklearn_output_config",
    "noise_level_",
    "selection_report_",
    "_aligned",
    "_weight_decay",
}
_LARGEST_SAMPLE = 2**40  # values
# What networks have as many of as tensors, or many more of; all other sizes are axes of tensors.
_COUNTS = {"depth", "n_blocks", "n_groups", "n_scales"}
_MEMORIES = {
    "adam": {"step", "exp_avg", "exp_avg_sq"},
    "adamw": {"step", "exp_avg", "exp_avg_sq"},
    "nadam": {"step", "exp_avg", "exp_avg_sq", "mu_product"},
    "sgd": {"momentum_buffer"},
}


def check_state(cls, state):
    """ValueError unless ``state`` is one that an estimator of ``cls`` can have."""
    parameters = _check_names(cls, state)
    estimator = cls(**parameters)
    estimator._validate_params()
    if _NETWORKS[cls] is not None:
        estimator._check_parameters()
    if len(state) == len(parameters):
        return
    if _NETWORKS[cls] is not None:
        _check_settings(cls, state["_settings"], parameters)
        _check_network(_NETWORKS[cls], state)
    _check_parts(state)


def _expect(condition, expectation, got):
    if not condition:
        raise ValueError(f"expected {expectation}, got {got!r:.200}")


def _check_names(cls, state):
    """The parameters of the state."""
    names = set(cls._get_param_names())
    attributes = _ATTRIBUTES[cls]
    _expect(names <= set(state), f"all parameters of {cls.__name__}", sorted(state))
    fitted = set(state) - names
    unknown = fitted - set(attributes)
    _expect(not unknown, f"attributes that {cls.__name__} has", sorted(unknown))
    missing = set(attributes) - _OPTIONAL - fitted if fitted else ()
    _expect(not missing, f"a fitted {cls.__name__} that lacks nothing", sorted(missing))
    for name in fitted:
        value = state[name]
        kind = attributes[name]
        right = isinstance(value, kind) and (kind == bool | None or not isinstance(value, bool))
        _expect(right, f"{name} to be {kind}", value)
    return {name: state[name] for name in names}


def _check_settings(cls, settings, parameters):
    names = {field.name for field in fields(Settings)}
    _expect(set(settings) == names, f"settings {sorted(names)}", sorted(settings))
    _expect(type(settings["seed"]) is int and settings["seed"] >= 0, "a seed", settings["seed"])
    changed = {name: settings[name] for name in names & set(parameters)}
    cls(**{**parameters, **changed})._check_parameters()
    cls(**{**parameters, **changed})._validate_params()
    for name in names - set(parameters) - {"seed"}:
        _expect(settings[name] is None, f"no {name}", settings[name])


# --- the network ---------------------------------------------------------------------------------


def _check_network(network, state):
    """The weights are those of the network, which is not built with storage before that is so."""
    net_state, architecture = state["_net_state"], state["_architecture"]
    _expect(
        set(net_state) == {"module", "optimizer", "history"}, "a net's state", sorted(net_state)
    )
    weights = net_state["module"]
    _check_sizes(architecture, weights)
    with torch.device("meta"):
        module = network(**architecture)
    expected = {
        name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in module.state_dict().items()
    }
    found = {name: (array.shape, array.dtype.name) for name, array in weights.items()}
    _expect(found == expected, f"weights {expected!r:.200}", found)
    shapes = [[tuple(p.shape) for p in group] for group in parameter_groups(module)]
    _check_optimizer(net_state["optimizer"], state["_settings"]["optimizer"], *shapes)
    _check_history(net_state["history"])
    _check_history(state["history_"])


def _check_sizes(architecture, weights):
    """Nothing is larger than what the weights allow for, so that no time or memory is wasted."""
    arrays = all(isinstance(array, np.ndarray) for array in weights.values())
    _expect(arrays, "weights to be arrays", weights)
    n_values = sum(array.size for array in weights.values())
    for name, value in architecture.items():
        if isinstance(value, int):
            most = len(weights) if name in _COUNTS else max(1000, n_values)
            _expect(0 <= value <= most, f"{name} of at most {most}", value)
        _expect(isinstance(value, int | float | str | None), f"{name} to be plain", value)


def _check_optimizer(optimizer, name, decaying, others):
    """What the optimizer remembers fits the parameters, those that decay first."""
    _expect(set(optimizer) == {"state", "param_groups"}, "an optimizer's state", sorted(optimizer))
    shapes = [*decaying, *others]
    numbers = list(range(len(shapes)))
    groups = [group["params"] for group in optimizer["param_groups"]]
    expected = [numbers[: len(decaying)], numbers[len(decaying) :]]
    _expect(groups == expected, f"parameters in groups {expected}", groups)
    for number, memory in optimizer["state"].items():
        _expect(type(number) is int and number in numbers, "the number of a parameter", number)
        _expect(set(memory) == _MEMORIES[name], f"a memory of {name}", sorted(memory))
        for value in memory.values():
            right = isinstance(value, np.ndarray) and value.dtype == np.float32
            right = right and value.shape in ((), shapes[number])
            _expect(value is None or right, f"a memory of shape {shapes[number]}", value)


def _check_history(history):
    for row in history:
        plain = isinstance(row, dict) and all(
            isinstance(key, str) and (value is None or isinstance(value, Real | list | str))
            for key, value in row.items()
        )
        _expect(plain, "a history of numbers", row)


# --- parts that belong together ------------------------------------------------------------------


def _check_parts(state):
    for name, check in _PARTS.items():
        if name in state:
            check(state)


def _check_classes(state):
    classes = state["classes_"]
    _expect(classes.ndim == 1, "classes_ of one axis", classes.shape)
    _expect(np.array_equal(np.unique(classes), classes), "classes_ in order", classes)
    n_outputs = state["_architecture"]["n_outputs"]
    _expect(len(classes) == n_outputs, f"{n_outputs} classes", len(classes))


def _check_samples(state):
    shape, architecture = state["input_shape_"], state["_architecture"]
    _check_shape("input_shape_", shape)
    expected = architecture["n_channels"], architecture["dim"]
    _expect((shape[0], len(shape) - 1) == expected, f"{expected} channels and axes", shape)
    sizes = {shape[0], math.prod(shape)}  # the second where rows are given a shape
    _expect(state["n_features_in_"] in sizes, f"one of {sizes} features", state["n_features_in_"])


def _check_weight_decay(state):
    decay = state["_weight_decay"]
    _expect(0 <= decay < math.inf, "a weight decay", decay)


def _check_input_scaler(state):
    scaler = vars(state["_input_scaler"])
    mode, statistics = scaler.get("mode"), {"mean_", "scale_"}
    _expect(mode in ("channel", "sample", None), "a mode of scaling", mode)
    expected = {"mode", *(statistics if mode == "channel" else ())}
    _expect(set(scaler) == expected, f"a scaler with {sorted(expected)}", sorted(scaler))
    for name in expected - {"mode"}:
        _check_statistic(scaler[name], (state["_architecture"]["n_channels"],))


def _check_target_scaler(state):
    scaler, shape = vars(state["_target_scaler"]), state["_target_shape"]
    _expect(set(scaler) == {"mean_", "scale_"}, "a scaler of targets", sorted(scaler))
    if shape:
        _check_shape("_target_shape", shape)
    _expect(np.prod(shape) == state["_architecture"]["n_outputs"], "as many targets", shape)
    for statistic in scaler.values():
        _check_statistic(statistic, (state["_architecture"]["n_outputs"],))


def _check_patch_scaler(state):
    scaler, architecture = vars(state["_scale"]), state["_architecture"]
    expected = {"centre", "highest", "lowest"}
    _expect(set(scaler) == expected, f"a scaler with {sorted(expected)}", sorted(scaler))
    for statistic in (*scaler.values(), state["_error"]):
        _check_statistic(statistic, (1, architecture["n_channels"], *(1,) * architecture["dim"]))
    _expect((state["_error"] >= 0).all(), "a power", state["_error"])
    _check_shape("_window", state["_window"])
    _expect(len(state["_window"]) == architecture["dim"], "a window", state["_window"])
    n_dims = state["_n_dims"]
    _expect(n_dims in (2, 3, 4), "2 to 4 dimensions", n_dims)
    _expect(max(n_dims, 3) - 2 == architecture["dim"], "a window for each axis", n_dims)
    _expect(
        state["supervision_"] in ("clean", "self", "synthetic"), "a kind", state["supervision_"]
    )
    levels = state.get("noise_level_", ())
    plain = len(levels) == 2 and all(isinstance(level, Real) for level in levels)
    _expect(plain, "a lowest and a highest noise level", levels)


def _check_rule(state):
    parameters = {name: state[name] for name in SoftThresholdTransformer._get_param_names()}
    changed = {"rule": state["rule_"], "wavelet": state["wavelet_"]}
    transformer = SoftThresholdTransformer(**{**parameters, **changed})
    transformer._validate_params()
    check_recipe(transformer._asked_for())
    _expect(state["_n_dims"] in (2, 3), "2 or 3 dimensions", state["_n_dims"])
    level = np.asarray(state.get("noise_level_", 0.0))
    right = level.dtype.kind == "f" and level.ndim <= 1 and np.isfinite(level).all()
    _expect(right and (level >= 0).all(), "noise levels", level)


def _check_shape(name, shape):
    sizes = len(shape) > 0 and all(type(size) is int and size > 0 for size in shape)
    _expect(sizes, f"{name} of positive integers", shape)
    _expect(math.prod(shape) <= _LARGEST_SAMPLE, f"{name} that a sample can have", shape)


def _check_statistic(array, shape):
    right = isinstance(array, np.ndarray) and array.shape == shape and array.dtype.kind == "f"
    _expect(right, f"a statistic of shape {shape}", array)
    _expect(np.isfinite(array).all(), "a finite statistic", array)


def _check_number_of_features(state):
    n_features = state["n_features_in_"]
    _expect(0 < n_features < _LARGEST_SAMPLE, f"1 to {_LARGEST_SAMPLE} features", n_features)


def _check_names_of_features(state):
    names = state["feature_names_in_"]
    right = names.ndim == 1 and all(isinstance(name, str) for name in names.tolist())
    _expect(right and len(names) == state["n_features_in_"], "names of all features", names)


_PARTS = {
    "classes_": _check_classes,
    "n_features_in_": _check_number_of_features,
    "feature_names_in_": _check_names_of_features,
    "input_shape_": _check_samples,
    "_input_scaler": _check_input_scaler,
    "_target_scaler": _check_target_scaler,
    "_weight_decay": _check_weight_decay,
    "_scale": _check_patch_scaler,
    "rule_": _check_rule,
}
