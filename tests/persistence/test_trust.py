"""Pipelines through skops, pickle and joblib."""

import io
import json
import os
import pickle
import zipfile

import joblib
import numpy as np
import pytest
import skops.io
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skops.io.exceptions import UntrustedTypesFoundException

from sklearn_drsn import DRSNClassifier
from sklearn_drsn.persistence import TRUSTED_TYPES


@pytest.fixture(scope="module")
def pipeline():
    X = np.random.default_rng(0).normal(size=(30, 6))
    clf = DRSNClassifier(1, 4, max_epochs=1, random_state=0)
    return make_pipeline(StandardScaler(), clf).fit(X, np.arange(30) % 3), X


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(estimator):
    return skops.io.loads(skops.io.dumps(estimator), trusted=TRUSTED_TYPES)


@pytest.mark.parametrize(
    "transport",
    [lambda e: pickle.loads(pickle.dumps(e)), through_joblib, through_skops],
    ids=["pickle", "joblib", "skops"],
)
def test_pipelines_travel(pipeline, transport):
    pipeline, X = pipeline
    arrived = transport(pipeline)
    assert arrived.predict_proba(X).tobytes() == pipeline.predict_proba(X).tobytes()


def test_skops_needs_no_trust_beyond_ours(fitted):
    estimator, _ = fitted
    needed = skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
    assert needed
    assert set(needed) <= set(TRUSTED_TYPES)
    assert vars(through_skops(estimator)).keys() == vars(estimator).keys()


def test_trusted_types_name_classes_of_this_package_only():
    assert all(name.startswith("sklearn_drsn.estimators.") for name in TRUSTED_TYPES)
    assert list(TRUSTED_TYPES) == sorted(set(TRUSTED_TYPES))


# --- hostile skops files -------------------------------------------------------------------------


def schema_of(data):
    return json.loads(zipfile.ZipFile(io.BytesIO(data)).read("schema.json"))


def poisoned(data, place, node):
    """The skops file with a node of the writer's choice in place of an attribute."""
    schema = schema_of(data)
    attributes = schema["content"]["content"]
    assert place in attributes
    attributes[place] = {**node, "__id__": 10**9}
    return rewritten(data, schema)


def rewritten(data, schema):
    """The skops file with another schema."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            whole = json.dumps(schema) if name == "schema.json" else source.read(name)
            archive.writestr(name, whole)
    return target.getvalue()


def payload(path):
    """A node that makes a folder when it is built."""
    arguments = schema_of(skops.io.dumps((str(path),)))
    kept = {key: arguments[key] for key in ("__class__", "__module__", "__loader__", "content")}
    return {
        "__class__": "mkdir",
        "__module__": "os",
        "__loader__": "ConstructorFromReduceNode",
        "content": {**kept, "__id__": 10**9 + 1},
    }


@pytest.mark.parametrize("place", ["optimizer", "callbacks", "_net_state", "_settings"])
def test_a_tampered_skops_file_does_not_run_its_payload(classifier, tmp_path, place):
    data = poisoned(skops.io.dumps(classifier), place, payload(tmp_path / "ran"))
    assert set(skops.io.get_untrusted_types(data=data)) - set(TRUSTED_TYPES) == {"os.mkdir"}
    with pytest.raises(UntrustedTypesFoundException, match=r"os\.mkdir"):
        skops.io.loads(data, trusted=TRUSTED_TYPES)
    assert os.listdir(tmp_path) == []


def test_the_payload_would_run_if_it_were_trusted(classifier, tmp_path):
    data = poisoned(skops.io.dumps(classifier), "callbacks", payload(tmp_path / "ran"))
    skops.io.loads(data, trusted=[*TRUSTED_TYPES, "os.mkdir"])
    assert os.listdir(tmp_path) == ["ran"]


def with_architecture(data, changes):
    """The skops file with other numbers for the arguments of the network."""
    schema = schema_of(data)
    arguments = schema["content"]["content"]["_architecture"]["content"]
    for number, (name, value) in enumerate(changes.items(), 10**9):
        assert json.loads(arguments[name]["content"]) != value
        arguments[name] = {**arguments[name], "content": json.dumps(value), "__id__": number}
    return rewritten(data, schema)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"width": 10**12}, "width of at most"),
        ({"depth": 10**12}, "depth of at most"),
        ({"width": 1000, "kernel_size": 999}, "weights 'stem"),
        ({"n_outputs": 1000}, "weights 'head"),
        ({"depth": -1}, "depth of at most"),
    ],
)
def test_a_skops_file_builds_no_network_beyond_its_weights(classifier, monkeypatch, changes, match):
    data = with_architecture(skops.io.dumps(classifier), changes)
    empty = torch.empty

    def without_storage(*args, **kwargs):
        tensor = empty(*args, **kwargs)
        assert tensor.is_meta
        return tensor

    monkeypatch.setattr(torch, "empty", without_storage)
    with pytest.raises(ValueError, match=f"expected {match}"):
        skops.io.loads(data, trusted=TRUSTED_TYPES)


def test_weights_of_another_network_are_refused_by_pickles_too(classifier):
    state = classifier.__getstate__()
    state["_architecture"] = {**state["_architecture"], "width": 5}
    with pytest.raises(ValueError, match=r"expected weights 'stem\.weight' of \(\(5, 6\)"):
        DRSNClassifier().__setstate__(state)


def make_optimizer(groups, lr):
    return torch.optim.SGD(groups, lr)


def test_functions_in_parameters_are_not_trusted(table):
    clf = DRSNClassifier(1, 4, max_epochs=1, optimizer=make_optimizer).fit(*table)
    with pytest.raises(UntrustedTypesFoundException, match="make_optimizer"):
        skops.io.loads(skops.io.dumps(clf), trusted=TRUSTED_TYPES)
