"""Pickles, copies and clones."""

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback

from sklearn_drsn.estimators._scaling import InputScaler, TargetScaler


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file, compress=3)
    file.seek(0)
    return joblib.load(file)


TRANSPORTS = {
    "pickle": lambda e: pickle.loads(pickle.dumps(e)),
    "oldest pickle": lambda e: pickle.loads(pickle.dumps(e, protocol=2)),
    "joblib": through_joblib,
    "deepcopy": copy.deepcopy,
    "pickle twice": lambda e: pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(e)))),
}


def bits(estimator, X):
    return estimator.predict(X).tobytes() + estimator.embed(X).tobytes()


def continued(estimator, X, y):
    """Bits after another epoch and another fit."""
    estimator.partial_fit(X, y)
    return bits(estimator, X) + bits(estimator.set_params(warm_start=True).fit(X, y), X)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_predictions_survive_bit_for_bit(estimator, samples, transport):
    X, y = samples
    fitted = estimator().fit(X, y)
    arrived = TRANSPORTS[transport](fitted)
    assert bits(arrived, X) == bits(fitted, X)
    assert arrived.score(X, y) == fitted.score(X, y)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_attributes_survive(estimator, series, transport):
    X, y = series
    fitted = estimator().fit(X, y, X_val=X, y_val=y)
    arrived = TRANSPORTS[transport](fitted)
    assert set(vars(arrived)) == set(vars(fitted))
    for name in ("history_", "n_iter_", "best_epoch_", "device_", "input_shape_"):
        assert getattr(arrived, name) == getattr(fitted, name)
    assert arrived.get_params() == fitted.get_params()
    assert [dict(row) for row in arrived.net_.history] == [dict(row) for row in fitted.net_.history]


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "nadam", "sgd", torch.optim.RMSprop])
@pytest.mark.parametrize("transport", ["pickle", "deepcopy"])
def test_training_goes_on_as_if_nothing_had_happened(estimator, series, transport, optimizer):
    X, y = series
    params = {"optimizer": optimizer, "dropout": 0.2, "augment": ("noise", "shift")}
    fitted = estimator(**params).fit(X, y)
    arrived = TRANSPORTS[transport](fitted)
    assert continued(arrived, X, y) == continued(fitted, X, y)


def test_numbers_that_size_no_weights_may_be_large(estimator, table, series):
    X, y = table
    fitted = estimator(kernel_size=1501, stem_kernel_size=2001, stem_stride=3000).fit(X, y)
    assert bits(copy.deepcopy(fitted), X) == bits(fitted, X)
    X, y = series
    fitted = estimator(stem_stride=2000).fit(X, y)
    assert bits(copy.deepcopy(fitted), X) == bits(fitted, X)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_unfitted_estimators_stay_unfitted(estimator, table, transport):
    arrived = TRANSPORTS[transport](estimator(depth=2))
    assert arrived.depth == 2
    with pytest.raises(NotFittedError):
        arrived.predict(table[0])
    assert bits(arrived.fit(*table), table[0]) == bits(estimator(depth=2).fit(*table), table[0])


def test_a_copy_is_independent(estimator, table):
    X, y = table
    fitted = estimator().fit(X, y)
    before = bits(fitted, X)
    copy.deepcopy(fitted).partial_fit(X, y)
    assert bits(fitted, X) == before
    assert fitted.n_iter_ == 3


def test_pickling_does_not_change_the_estimator(estimator, table):
    X, y = table
    fitted = estimator().fit(X, y)
    net, before, keys = fitted.net_, bits(fitted, X), set(vars(fitted))
    pickle.dumps(fitted)
    assert fitted.net_ is net
    assert set(vars(fitted)) == keys
    assert bits(fitted, X) == before


def test_a_clone_has_the_parameters_but_is_not_fitted(estimator, table):
    fitted = estimator(width=5, augment=("noise",)).fit(*table)
    fresh = clone(fitted)
    assert fresh.get_params() == fitted.get_params()
    assert not [name for name in vars(fresh) if name.endswith("_")]
    assert bits(fresh.fit(*table), table[0]) == bits(fitted, table[0])


# --- what is in a state --------------------------------------------------------------------------

PLAIN = (type(None), bool, int, float, str, np.ndarray, np.generic)


def foreign_objects(value, path="state"):
    """Whatever is neither plain data nor one of the two scalers, with the way to it."""
    if type(value) in (InputScaler, TargetScaler):
        value, path = vars(value), f"{path}.{type(value).__name__}"
    if isinstance(value, dict):
        items = [*value.items(), *((f"key {key!r}", key) for key in value)]
    elif isinstance(value, list | tuple):
        items = list(enumerate(value))
    else:
        return [] if isinstance(value, PLAIN) else [f"{path}: {type(value)}"]
    return [found for key, item in items for found in foreign_objects(item, f"{path}[{key!r}]")]


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"early_stopping": True, "validation_fraction": 0.25},
        {"optimizer": "sgd"},
        {"augment": ("noise", "shift"), "dropout": 0.2},
        {"precision": "bfloat16"},
    ],
    ids=str,
)
def test_state_holds_plain_data_and_scalers_only(estimator, series, params):
    X, y = series
    fitted = estimator(**params).fit(X, y)
    assert foreign_objects(fitted.__getstate__()) == []
    assert foreign_objects(fitted.partial_fit(X, y).__getstate__()) == []


def test_no_class_of_torch_or_skorch_is_needed_to_unpickle(estimator, series):
    modules = set()

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            modules.add(module.partition(".")[0])
            return super().find_class(module, name)

    Unpickler(io.BytesIO(pickle.dumps(estimator().fit(*series)))).load()
    assert modules <= {"numpy", "sklearn_drsn"}


def test_a_state_is_not_much_larger_than_its_arrays(estimator, series):
    fitted = estimator(width=16, depth=3).fit(*series)
    n_weights = sum(tensor.numel() for tensor in fitted.net_.module_.state_dict().values())
    # The weights and the two moments of the optimizer, 4 bytes each.
    assert len(pickle.dumps(fitted)) < 1.3 * 3 * 4 * n_weights + 30_000


def test_a_state_does_not_share_memory_with_the_network(estimator, table):
    X, y = table
    fitted = estimator().fit(X, y)
    state = pickle.dumps(fitted.__getstate__())
    kept = fitted.__getstate__()
    fitted.partial_fit(X, y)
    before = pickle.loads(state)["_net_state"]["module"]
    for name, array in kept["_net_state"]["module"].items():
        np.testing.assert_array_equal(array, before[name])


class Counter(Callback):
    def __init__(self):
        self.n_epochs = 0

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1


def test_estimators_with_callbacks_are_pickled_with_them(estimator, table):
    X, y = table
    fitted = estimator(callbacks=[Counter()]).fit(X, y)
    arrived = pickle.loads(pickle.dumps(fitted))
    assert bits(arrived, X) == bits(fitted, X)
    arrived.partial_fit(X, y)
    assert arrived.callbacks[0].n_epochs == 4
    assert fitted.callbacks[0].n_epochs == 3


# --- parameters changed since the fit ------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"depth": 3},
        {"width": 7},
        {"threshold_mode": None},
        {"kernel_size": 5},
        {"optimizer": "sgd"},
        {"lr": 5.0, "batch_size": 7, "max_epochs": 1},
        {"precision": "bfloat16"},
        {"normalize": "sample"},
        {"random_state": 7},
        {"verbose": 1},
        {"depth": -1},
    ],
    ids=str,
)
@pytest.mark.parametrize("transport", ["pickle", "deepcopy"])
def test_parameters_set_since_the_fit_do_not_touch_predictions(
    estimator, series, change, transport
):
    X, y = series
    fitted = estimator().fit(X, y)
    before = bits(fitted, X)
    fitted.set_params(**change)
    assert bits(fitted, X) == before
    arrived = TRANSPORTS[transport](fitted)
    assert bits(arrived, X) == before
    assert arrived.get_params() == fitted.get_params()


def test_a_loss_set_since_the_fit_does_not_touch_predictions(regressor, series):
    X, y = series
    reg = regressor().fit(X, y)
    before = bits(reg, X)
    reg.set_params(loss="huber")
    assert bits(pickle.loads(pickle.dumps(reg)), X) == before


def test_set_params_after_the_fit_counts_in_the_next_fit(estimator, series):
    X, y = series
    fitted = estimator().fit(X, y).set_params(depth=2, width=8).fit(X, y)
    assert bits(fitted, X) == bits(estimator(depth=2, width=8).fit(X, y), X)


# --- other machines ------------------------------------------------------------------------------


def state_from_elsewhere(fitted, device="cuda:7"):
    """The pickle of an estimator that was fitted on a device this machine lacks."""
    state = fitted.__getstate__()
    state["_settings"] = {**state["_settings"], "device": device}
    state["device_"] = device
    arrived = type(fitted).__new__(type(fitted))
    arrived.__setstate__(state)
    return arrived


@pytest.mark.parametrize("device", ["cuda:7", "xpu:0"])
def test_a_missing_device_is_replaced_by_the_cpu_with_a_warning(estimator, samples, device):
    X, y = samples
    fitted = estimator().fit(X, y)
    with pytest.warns(UserWarning, match=rf"fitted on '{device}'.*lacks.*loaded on the CPU"):
        arrived = state_from_elsewhere(fitted, device)
    assert arrived.device_ == "cpu"
    assert bits(arrived, X) == bits(fitted, X)


def test_an_estimator_from_elsewhere_trains_on_when_the_device_is_left_to_it(estimator, series):
    X, y = series
    fitted = estimator(device="auto").fit(X, y)
    with pytest.warns(UserWarning, match="loaded on the CPU"):
        arrived = state_from_elsewhere(fitted)
    if not torch.cuda.is_available():
        assert continued(arrived, X, y) == continued(fitted, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bits(pickle.loads(pickle.dumps(arrived)), X) == bits(arrived, X)


def test_loading_moves_no_global_random_state(estimator, table):
    dumped = pickle.dumps(estimator().fit(*table))
    before = torch.get_rng_state()
    pickle.loads(dumped)
    assert torch.equal(torch.get_rng_state(), before)
