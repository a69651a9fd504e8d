"""Exported graphs against predict, in onnxruntime."""

import os
import re
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.feature_selection import VarianceThreshold
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

from sklearn_drsn import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
    SoftThresholdTransformer,
)
from sklearn_drsn.persistence import _graph, _onnx, export_onnx

TINY = {"max_epochs": 2, "device": "cpu", "random_state": 0}
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(1000, 6)) * [1, 10, 0.1, 1, 1, 5] + [0, 1e5, 0, -3, 0, 1]
LABELS = np.array(["ball", "inner race", "Außenring"])[np.arange(1000) % 3]
SERIES = RNG.normal(size=(40, 2, 40))
IMAGES = RNG.random((4, 20, 18))


def run(path, X):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"X": X})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A pipeline and its file."""
    path = tmp_path_factory.mktemp("onnx") / "pipeline.onnx"
    clf = DRSNClassifier(2, 8, **TINY)
    pipeline = make_pipeline(StandardScaler(), clf).fit(TABLE, LABELS)
    export_onnx(pipeline, path)
    return pipeline, path


def assert_classifies(path, pipeline, X):
    """Same labels, and probabilities within 1e-5."""
    label, probabilities = run(path, X)
    expected = pipeline.predict_proba(X)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=1e-5)
    assert label.tolist() == pipeline.predict(X).tolist()


def assert_agrees(path, estimator, X):
    (output,) = run(path, X)
    expected = estimator.predict(X)
    assert output.shape == expected.shape
    np.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


# --- classifier and regressor --------------------------------------------------------------------


def test_a_pipeline_is_one_graph_from_columns_to_labels(exported):
    pipeline, path = exported
    assert_classifies(path, pipeline, TABLE)
    assert_classifies(path, pipeline, TABLE[:1])
    assert os.listdir(path.parent) == [path.name]


def test_inputs_and_outputs_have_names_and_free_axes(exported):
    session = onnxruntime.InferenceSession(exported[1], providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("X", "tensor(double)", ["n_samples", 6])
    outputs = [(output.name, output.type, output.shape) for output in session.get_outputs()]
    assert outputs == [
        ("label", "tensor(string)", ["n_samples"]),
        ("probabilities", "tensor(double)", ["n_samples", 3]),
    ]


def test_a_script_without_torch_and_scikit_learn_predicts(exported):
    pipeline, path = exported
    np.save(path.parent / "X.npy", TABLE[:50])
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "sklearn", "sklearn_drsn", "skorch", "scipy"}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocker())
try:
    import torch
except ImportError as error:
    print(error)
import numpy, onnxruntime
session = onnxruntime.InferenceSession("pipeline.onnx", providers=["CPUExecutionProvider"])
label, probabilities = session.run(None, {"X": numpy.load("X.npy")})
sys.stdout.buffer.write("\\n".join(label).encode())
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, cwd=path.parent
    )
    (path.parent / "X.npy").unlink()
    blocked, *labels = run.stdout.decode().split("\n")
    assert blocked == "torch is blocked"
    assert labels == pipeline.predict(TABLE[:50]).tolist()


def test_a_regressor_of_series(tmp_path):
    y = 7 * SERIES[:, :, :2].mean(1) + 100
    reg = DRSNRegressor(1, 4, normalize="sample", augment="shift", **TINY).fit(SERIES, y)
    export_onnx(reg, tmp_path / "m")
    assert_agrees(tmp_path / "m", reg, SERIES)


PIPELINES = {
    "scalers and projection": lambda: make_pipeline(
        RobustScaler(), MinMaxScaler((-1, 2), clip=True), PCA(4, whiten=True), TINY_NET()
    ),
    "selection": lambda: make_pipeline(
        make_pipeline(MaxAbsScaler(), VarianceThreshold(1e-9)), "passthrough", TINY_NET()
    ),
    "rows as series": lambda: make_pipeline(
        StandardScaler(with_mean=False), TINY_NET(input_shape=(2, -1), threshold_mode=None)
    ),
    "rows as images": lambda: TINY_NET(input_shape=(1, 2, 3), threshold_mode="channel_shared"),
    "no scaling": lambda: TINY_NET(normalize=None, threshold_mode="squeeze_excitation"),
    "means in the shortcuts": lambda: TINY_NET(input_shape=(2, -1), downsampling="average"),
    "log power": lambda: TINY_NET(input_shape=(2, -1), pooling="log_power"),
    "views": lambda: TINY_NET(input_shape=(1, -1), augment="shift", n_views=5),
    "columns in pieces": lambda: TINY_NET(n_pieces=5),
    "low precision": lambda: TINY_NET(precision="bfloat16"),
}


def TINY_NET(**params):
    return DRSNClassifier(1, 4, **TINY, **params)


@pytest.mark.slow
@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES)
def test_pipelines(make, tmp_path):
    X = np.where(np.arange(6) == 1, TABLE / 1e5, TABLE)
    pipeline = make().fit(X, LABELS)
    export_onnx(pipeline, tmp_path / "m")
    if "precision='bfloat16'" in repr(pipeline):  # agrees with float32 only
        assert np.abs(run(tmp_path / "m", X)[1] - pipeline.predict_proba(X)).max() < 0.05
    else:
        assert_classifies(tmp_path / "m", pipeline, X)


@pytest.mark.parametrize("unit", [1, 1e-9, 1e-20])
def test_small_components_are_whitened_as_scikit_learn_does(unit):
    X = unit * RNG.normal(size=(100, 4))
    pca = PCA(3, whiten=True).fit(X)
    projected = _graph.make_module(pca)(torch.from_numpy(X)).numpy()
    expected = pca.transform(X)
    np.testing.assert_allclose(projected, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (np.array(["a", "ß"]), "tensor(string)"),
        (np.array(["a", "ß"], dtype=object), "tensor(string)"),
        (np.array([-3, 2**40]), "tensor(int64)"),
        (np.array([1, 250], dtype=np.uint8), "tensor(uint8)"),
        (np.array([1.0, 2.0]), "tensor(double)"),
        (np.array([False, True]), "tensor(bool)"),
        (np.array([-3, 70000], dtype=">i4"), "tensor(int32)"),
        (np.array([1, 65000], dtype=">u2"), "tensor(uint16)"),
        (np.array([1.0, 2.0], dtype=">f8"), "tensor(double)"),
        (np.array(["a", "ß"], dtype=">U4"), "tensor(string)"),
        (np.array(["a\0b", "c"]), "tensor(string)"),
        (np.array([1, 2.0], dtype="f2"), "tensor(float16)"),
        (np.array([1, 2.5], dtype=object), "tensor(double)"),
    ],
)
def test_labels_of_any_type(classes, kind):
    graph = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 18]>
        labels (double[n, k] X) => (int64[n] label, double[n, k] probabilities) {
            label = ArgMax <axis = 1, keepdims = 0> (X)
            probabilities = Identity (X)
        }"""
    )
    _onnx._add_labels(onnx, graph, classes)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    assert session.get_outputs()[0].type == kind
    label, _ = session.run(None, {"X": np.array([[0.0, 1.0], [1.0, 0.0], [0.2, 0.8]])})
    assert label.tolist() == classes[[1, 0, 1]].tolist()


def test_labels_of_another_byte_order_are_exported(tmp_path):
    clf = TINY_NET().fit(TABLE, np.array([-3, 5, 70000], dtype=">i4")[np.arange(1000) % 3])
    export_onnx(clf, tmp_path / "m")
    assert_classifies(tmp_path / "m", clf, TABLE)


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["2020-01-01", "2021-01-01"], dtype="M8[D]"),
        np.array([1, 2], dtype="m8[s]"),
        np.array([1, 2], dtype="g"),
        np.array([1, 2**70], dtype=object),
        np.array([0.5, 2**53 + 1], dtype=object),
        np.array(["a", "\ud800"]),
    ],
    ids=str,
)
def test_labels_without_counterpart_are_refused_by_their_type(classes):
    with pytest.raises(TypeError, match=re.escape(f"classes_ of dtype {classes.dtype}")):
        _onnx._label_table(onnx, classes)


# --- signals and images --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:the estimated noise level")
def test_a_denoiser_of_rows(tmp_path):
    rows = SERIES[:, 0]
    denoiser = SoftThresholdDenoiser(1, 4, **TINY).fit(rows)
    export_onnx(denoiser, tmp_path / "m")
    X = rows.copy()
    X[3] = 1.5  # a constant signal has nothing to scale by
    X[4] += 1e3  # its offset is cut off
    assert_agrees(tmp_path / "m", denoiser, X)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the estimated noise level")
@pytest.mark.parametrize("self_loss", ["sure", "blind_spot"])
@pytest.mark.parametrize("dim", [1, 2])
def test_denoisers_of_any_length(tmp_path, dim, self_loss):
    X = SERIES if dim == 1 else IMAGES[:, None]
    denoiser = SoftThresholdDenoiser(2, 4, window_length=16, self_loss=self_loss, **TINY).fit(X)
    export_onnx(denoiser, tmp_path / "m")
    for size in (16, 17, 67):
        shape = (2, X.shape[1], size, 23)[: 2 + dim]
        assert_agrees(tmp_path / "m", denoiser, RNG.normal(size=shape))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the estimated noise level")
def test_signals_shorter_than_a_window(tmp_path):
    denoiser = SoftThresholdDenoiser(2, 4, window_length=16, **TINY).fit(SERIES)
    export_onnx(denoiser, tmp_path / "m")
    for length in (5, 8, 15):
        assert_agrees(tmp_path / "m", denoiser, RNG.normal(size=(2, 2, length)))


RESTORERS = {
    "DnCNN": lambda: DnCNNDenoiser(3, 4, patch_size=8, tile_size=16, **TINY),
    "MACR": lambda: MACRDeblurrer(2, 1, 4, patch_size=12, tile_size=16, blur_length=3, **TINY),
    "MSRN": lambda: MSRNSuperResolver(2, 1, 4, patch_size=8, tile_size=16, **TINY),
    "CSSFN": lambda: CSSFNSuperResolver(2, 1, 4, 2, patch_size=8, tile_size=16, **TINY),
    "self-ensemble": lambda: DnCNNDenoiser(2, 2, patch_size=8, self_ensemble=True, **TINY),
}


@pytest.mark.slow
@pytest.mark.parametrize("make", RESTORERS.values(), ids=RESTORERS)
def test_restorers_of_images_of_any_size(tmp_path, make):
    restorer = make().fit(IMAGES)
    export_onnx(restorer, tmp_path / "m")
    for size in ((7, 9), (16, 17), (37, 50)):
        assert_agrees(tmp_path / "m", restorer, RNG.random((2, *size)))


def test_a_super_resolver_keeps_the_scale_of_its_fit():
    resolver = RESTORERS["MSRN"]().fit(IMAGES).set_params(scale=3)
    with torch.no_grad():
        enlarged = _graph.make_module(resolver)(torch.from_numpy(IMAGES)).numpy()
    np.testing.assert_allclose(enlarged, resolver.predict(IMAGES), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("axis", [0, -1])
def test_images_of_several_channels(tmp_path, axis):
    images = np.stack([IMAGES] * 3, axis + 1 if axis == 0 else axis)
    denoiser = DnCNNDenoiser(2, 4, patch_size=8, channel_axis=axis, **TINY).fit(images)
    export_onnx(denoiser, tmp_path / "m")
    assert_agrees(tmp_path / "m", denoiser, images)


@pytest.mark.slow
@pytest.mark.parametrize(("scale", "axis"), [(2, -1), (3, 0)])
def test_colour_in_super_resolution(tmp_path, scale, axis):
    pytest.importorskip("skimage")
    images = RNG.random((4, 24, 24, 3) if axis else (4, 3, 24, 24))
    resolver = MSRNSuperResolver(
        scale, 1, 4, patch_size=8, tile_size=16, channel_axis=axis, self_ensemble=True, **TINY
    ).fit(images)
    export_onnx(resolver, tmp_path / "m")
    assert_agrees(tmp_path / "m", resolver, images)
    assert_agrees(tmp_path / "m", resolver, images[:, 5:] if axis else images[:, :, :9, 5:])


@pytest.mark.slow
def test_colour_of_a_truncated_fourier_plane(tmp_path):
    pytest.importorskip("skimage")
    images = RNG.random((4, 24, 24, 3))
    resolver = CSSFNSuperResolver(
        2, 1, 4, 2, downsampling="kspace", patch_size=8, tile_size=16, channel_axis=-1, **TINY
    ).fit(images)
    export_onnx(resolver, tmp_path / "m")
    assert_agrees(tmp_path / "m", resolver, images[:, 5:])


@pytest.mark.slow
def test_a_denoiser_before_a_classifier(tmp_path):
    denoiser = SoftThresholdDenoiser(1, 4, **TINY)
    pipeline = make_pipeline(denoiser, TINY_NET()).fit(SERIES, np.arange(40) % 2)
    export_onnx(pipeline, tmp_path / "m")
    assert_classifies(tmp_path / "m", pipeline, SERIES)


# --- what is refused -----------------------------------------------------------------------------


def test_what_cannot_be_exported_is_named(tmp_path, classifier):
    scaler = StandardScaler().fit(TABLE)
    halved = FunctionTransformer(np.square)
    cases = {
        "pipeline that ends in one, got StandardScaler": scaler,
        "got GridSearchCV": GridSearchCV(classifier, {"depth": [1]}),
        "FunctionTransformer cannot be exported": make_pipeline(halved, classifier).fit,
        "got SoftThresholdTransformer": SoftThresholdTransformer().fit(TABLE),
    }
    for message, estimator in cases.items():
        if callable(estimator):
            estimator = estimator(TABLE, LABELS)
        with pytest.raises(TypeError, match=message):
            export_onnx(estimator, tmp_path / "m")
    with pytest.raises(NotFittedError):
        export_onnx(DRSNClassifier(), tmp_path / "m")
    assert os.listdir(tmp_path) == []


def test_a_graph_that_disagrees_is_not_written(exported, tmp_path, monkeypatch):
    pipeline, path = exported
    model = onnx.load(path)
    monkeypatch.setattr(_onnx, "_translate", lambda *args: model)
    monkeypatch.setattr(_onnx, "_add_labels", lambda *args: None)
    export_onnx(pipeline, tmp_path / "same")  # the graph as it is passes
    for wrong, match in (("classes", "another label"), ("weight", "does not agree")):
        model = onnx.load(path)
        for tensor in model.graph.initializer:
            if tensor.name.endswith(wrong) and wrong == "classes":
                tensor.string_data[:] = tensor.string_data[::-1]
            elif tensor.name.endswith("head.weight") and wrong == "weight":
                array = onnx.numpy_helper.to_array(tensor) * np.float32(1.01)
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
        with pytest.raises(RuntimeError, match=match):
            export_onnx(pipeline, tmp_path / "m")
    assert os.listdir(tmp_path) == ["same"]


def test_a_missing_library_is_named_with_its_extra(classifier, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"onnxscript.*sklearn_drsn\[onnx\]"):
        export_onnx(classifier, tmp_path / "m")
