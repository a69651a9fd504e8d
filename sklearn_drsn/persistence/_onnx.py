"""Export of fitted estimators and pipelines as one ONNX graph, checked before it is written."""

import logging
import re
import warnings
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_drsn._version import __version__
from sklearn_drsn.estimators import DRSNClassifier, DRSNRegressor, SoftThresholdDenoiser
from sklearn_drsn.estimators._base import BaseNetworkEstimator
from sklearn_drsn.estimators._files import write_atomically
from sklearn_drsn.estimators._restoration import BaseRestorer
from sklearn_drsn.estimators._restorers import _SuperResolver
from sklearn_drsn.persistence._graph import make_module

__all__ = ["export_onnx"]

_FLOAT = torch.float64
_TOLERANCE = 1e-5  # of probabilities, or of the largest value
_NETWORKS_OF_ROWS = (DRSNClassifier, DRSNRegressor)


def export_onnx(estimator, path):
    """Write a fitted estimator, or a pipeline that ends in one, as one ONNX graph.

    The graph takes what ``predict`` takes, as float64, and holds all that happens to it: the steps
    of the pipeline, scaling, the network, probabilities, labels. onnxruntime runs it without
    torch, scikit-learn or this package. Before the file is written onnxruntime has to agree with
    ``predict`` on random samples.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Any learned estimator of this package, or a pipeline of one behind StandardScaler,
        RobustScaler, MinMaxScaler, MaxAbsScaler, PCA, feature selectors, SoftThresholdDenoiser or
        "passthrough".
    path : str or path-like
        Of the file, usually ``.onnx``. It appears whole or not at all.

    Raises
    ------
    ImportError
        If onnx, onnxruntime or onnxscript is missing.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.
    TypeError
        If an estimator, a step or the type of the labels cannot be exported: dates, long doubles
        and objects other than strings and numbers have no counterpart in ONNX.
    RuntimeError
        If onnxruntime does not agree with ``predict``; no file is written then.

    See Also
    --------
    save : A file that can be loaded and trained on.

    Notes
    -----
    Input: ``X``, float64. Outputs: ``label`` (strings, integers, ...) and ``probabilities`` of
    classifiers, ``prediction`` of regressors, ``denoised`` of the denoiser, ``restored`` of
    restorers, in the shape that ``predict`` gives; for images a stack, in super-resolution with a
    ``channel_axis`` one of colour images. The number of samples is
    free, so are lengths, heights and widths where ``predict`` takes any; long signals and large
    images are cut into the same overlapping tiles, but all of them are in memory at once.

    Predictions are averaged over the views of ``n_views``, as those of ``predict``. Set it to 1
    before the export for a graph that needs an eighth of the time and memory.

    The graph checks nothing: NaN, images beyond [0, 1] and signals beyond what was trained on go
    through it without an error or a warning. Networks trained in bfloat16 are exported, and
    checked, in float32.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from sklearn_drsn import DRSNClassifier
    >>> from sklearn_drsn.persistence import export_onnx
    >>> X, y = load_iris(return_X_y=True)
    >>> pipeline = make_pipeline(StandardScaler(), DRSNClassifier(depth=1, max_epochs=5))
    >>> export_onnx(pipeline.fit(X, y), "iris.onnx")  # doctest: +SKIP
    >>> import onnxruntime  # doctest: +SKIP
    >>> session = onnxruntime.InferenceSession("iris.onnx")  # doctest: +SKIP
    >>> label, probabilities = session.run(None, {"X": X})  # doctest: +SKIP
    """
    onnx, onnxruntime = _libraries()
    steps = _steps(estimator)
    outputs = _output_names(steps[-1] if steps else estimator)
    steps = [_portable(step) for step in steps]
    model = _translate(nn.Sequential(*map(make_module, steps)), steps, outputs)
    if isinstance(steps[-1], DRSNClassifier):
        _add_labels(onnx, model, steps[-1].classes_)
    _describe(onnx, model, steps[-1])
    data = model.SerializeToString()
    _check(onnxruntime, data, steps)
    write_atomically(path, data)


def _libraries():
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401, what torch translates with
    except ImportError as error:
        raise ImportError(
            f"export_onnx needs onnx, onnxruntime and onnxscript: {error}; "
            "pip install sklearn_drsn[onnx]"
        ) from error
    return onnx, onnxruntime


# --- what is exported ----------------------------------------------------------------------------


def _steps(estimator):
    """Estimators in the order in which samples go through them."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [step for _, step in estimator.steps if step is not None and step != "passthrough"]
    return [inner for step in steps for inner in _steps(step)]


def _portable(estimator):
    """The same on the CPU and in float32."""
    check_is_fitted(estimator)
    if not isinstance(estimator, BaseNetworkEstimator):
        return estimator
    state = estimator.__getstate__()
    changes = {"device": "cpu", "precision": "float32", "compile": False}
    state["_settings"] = {**state["_settings"], **changes}
    copy = type(estimator).__new__(type(estimator))
    copy.__setstate__({**state, "callbacks": None})
    return copy


def _output_names(estimator):
    names = {
        DRSNClassifier: ["label", "probabilities"],
        DRSNRegressor: ["prediction"],
        SoftThresholdDenoiser: ["denoised"],
        BaseRestorer: ["restored"],
    }
    for kind, outputs in names.items():
        if isinstance(estimator, kind):
            return outputs
    raise TypeError(
        "expected a learned estimator of sklearn_drsn, or a pipeline that ends in one, got "
        f"{type(estimator).__name__}"
    )


def _sample_axes(steps):
    """Of the samples that the steps take: the size of every axis, the name of a free one."""
    estimator, *others = steps
    if isinstance(estimator, SoftThresholdDenoiser) and others:  # leaves shapes as they are
        return _sample_axes(others)
    if isinstance(estimator, BaseRestorer):
        axes = ["height", "width"]
        if estimator.channel_axis is not None:
            axes.insert(estimator.channel_axis % 3, _n_channels(estimator))
        return axes
    if isinstance(estimator, SoftThresholdDenoiser) and estimator._n_dims > 2:
        free = ["length"] if estimator._n_dims == 3 else ["height", "width"]
        return [estimator.n_features_in_, *free]
    if isinstance(estimator, _NETWORKS_OF_ROWS) and estimator.input_shape is None:
        return list(estimator.input_shape_)
    return [estimator.n_features_in_]


def _n_channels(restorer):
    """Of its images; the network of super-resolution sees one of three."""
    return 3 if isinstance(restorer, _SuperResolver) else restorer._n_channels


def _sample_shape(axes, size):
    """Free axes get ``size`` and a little more, so that no two are equal."""
    return tuple(size + i if isinstance(axis, str) else axis for i, axis in enumerate(axes))


def _longest_tile(estimator):
    if isinstance(estimator, SoftThresholdDenoiser):
        return estimator.tile_length or max(estimator._window)
    return getattr(estimator, "tile_size", 0)


# --- the graph -----------------------------------------------------------------------------------


def _translate(module, steps, outputs):
    """ONNX model of a module, what the steps do; the free axes bear their names."""
    axes = _sample_axes(steps)
    names = {0: "n_samples", **{i: axis for i, axis in enumerate(axes, 1) if isinstance(axis, str)}}
    # Longer than a tile, so that the way through several tiles is recorded.
    example = torch.zeros((3, *_sample_shape(axes, 2 * _longest_tile(steps[0]) + 13)), dtype=_FLOAT)
    with _quiet(), torch.no_grad():
        program = torch.export.export(
            module,
            (example,),
            dynamic_shapes=(dict.fromkeys(names, torch.export.Dim.DYNAMIC),),
            # What a network asks of the size of its input shall not limit the sizes exported.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        exported = torch.onnx.export(
            program, (), None, dynamo=True, verbose=False, input_names=["X"], output_names=outputs
        )
    model = exported.model_proto
    _name_axes(model.graph, names)
    return model


@contextmanager
def _quiet():
    """Silence what torch says about itself and about packages that are not installed."""
    names = ("torch.onnx._internal.exporter._registration", "onnx_ir")
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in names}
    try:
        for logger in levels:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


def _name_axes(graph, names):
    """Names instead of torch's symbols, in expressions too: ``2*s53`` becomes ``2*height``."""
    (given,) = graph.input
    sizes = given.type.tensor_type.shape.dim
    words = {sizes[axis].dim_param: name for axis, name in names.items()}
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = re.sub(
                    r"\w+", lambda word: words.get(word[0], word[0]), size.dim_param
                )
    del graph.value_info[:]  # speaks of the old symbols; onnxruntime infers it anew


def _add_labels(onnx, model, classes):
    """Let the first output pick labels out of a table, strings too, instead of numbers."""
    table = _label_table(onnx, classes)
    graph = model.graph
    number = graph.output[0]
    for node in graph.node:
        node.output[:] = ["class" if name == "label" else name for name in node.output]
        node.input[:] = ["class" if name == "label" else name for name in node.input]
    graph.initializer.append(table)
    graph.node.append(onnx.helper.make_node("Gather", ["classes", "class"], ["label"], axis=0))
    number.type.tensor_type.elem_type = table.data_type


def _label_table(onnx, classes):
    labels = classes.tolist()
    if all(map(_is_unicode, labels)):
        values = [label.encode() for label in labels]
        return onnx.helper.make_tensor("classes", onnx.TensorProto.STRING, [len(values)], values)
    values = np.array(labels) if classes.dtype.kind == "O" else classes
    exact = values.dtype.kind in "biuf" and values.dtype.itemsize <= 8
    if not exact or values.tolist() != labels:
        raise TypeError(
            "labels in ONNX are strings of Unicode, or integers, floats or booleans of up to 64 "
            f"bits, got classes_ of dtype {classes.dtype}: {labels[:3]}"
        )
    return onnx.numpy_helper.from_array(values.astype(values.dtype.newbyteorder("=")), "classes")


def _is_unicode(label):
    """Whether it is a string without halves of characters, which UTF-8 has none of."""
    return isinstance(label, str) and not re.search("[\ud800-\udfff]", label)


def _describe(onnx, model, estimator):
    model.producer_name, model.producer_version = "sklearn_drsn", __version__
    model.doc_string = f"{type(estimator).__name__} of sklearn_drsn {__version__}"
    onnx.checker.check_model(model)


# --- the check -----------------------------------------------------------------------------------


def _draw_samples(steps, rng):
    """Random samples of the kind that the last step was fitted to, as the first takes them."""
    last, axes = steps[-1], _sample_axes(steps[-1:])
    tile = _longest_tile(last)
    shape = _sample_shape(axes, tile + tile // 3 if axes[1:] == ["length"] else 17)
    size = (max(2, min(32, 2**16 // int(np.prod(shape)))), *shape)
    if isinstance(last, BaseRestorer):
        return rng.random(size)
    samples = rng.standard_normal(size)
    if isinstance(last, _NETWORKS_OF_ROWS):
        samples[-1] *= 100  # an outlier
        samples = _unscaled(last, samples)
    for step in reversed(steps[:-1]):
        if hasattr(step, "inverse_transform"):
            samples = step.inverse_transform(samples)
    return samples


def _unscaled(estimator, samples):
    scaler = estimator._input_scaler
    if scaler.mode != "channel":
        return samples
    rows = samples.reshape(len(samples), len(scaler.mean_), -1)
    return (rows * scaler.scale_[:, None] + scaler.mean_[:, None]).reshape(samples.shape)


def _check(onnxruntime, data, steps):
    """RuntimeError unless onnxruntime gives what the estimators give."""
    samples, last = _draw_samples(steps, np.random.default_rng(0)), steps[-1]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"X": samples})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # random samples may be unlike those of the fit
        for step in steps[:-1]:
            samples = step.transform(samples)
        predict = last.predict_proba if len(outputs) == 2 else last.predict
        expected = predict(samples)
    error = np.abs(outputs[-1] - expected).max()
    most = _TOLERANCE * (1.0 if len(outputs) == 2 else np.abs(expected).max())
    if not error <= most:
        raise RuntimeError(
            f"onnxruntime does not agree with {type(last).__name__}: largest difference "
            f"{error:.3g}, expected at most {most:.3g}"
        )
    if len(outputs) == 2:
        _check_labels(outputs[0], expected, last.classes_)


def _check_labels(labels, probabilities, classes):
    """RuntimeError if a label is wrong where one class is clearly the most probable."""
    clear = np.ptp(np.sort(probabilities, axis=1)[:, -2:], axis=1) > 2 * _TOLERANCE
    wrong = (labels != classes[probabilities.argmax(axis=1)])[clear].sum()
    if wrong:
        raise RuntimeError(f"onnxruntime gives {wrong} of {len(labels)} samples another label")
