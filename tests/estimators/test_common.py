import inspect
import re

import numpy as np
import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
    check_param_validation,
    parametrize_with_checks,
)

from sklearn_drsn import DRSNClassifier, DRSNRegressor
from sklearn_drsn.layers import THRESHOLD_MODES

ESTIMATORS = [DRSNClassifier, DRSNRegressor]
# The checks fit a handful of samples, some of which the defaults are still learning at the end.
may_be_unconverged = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Weighting a sample by two and repeating it are the same in expectation only: the repetition fills
# mini-batches of other samples, from which batch norm takes other statistics.
MINI_BATCHES = "mini-batch training with batch norm sees other batches when samples are repeated"


def expected_failed_checks(estimator):
    return {"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES}


def small(cls, threshold_mode, input_shape):
    return cls(
        depth=1, width=8, max_epochs=15, threshold_mode=threshold_mode, input_shape=input_shape
    )


def combinations(cls, modes):
    return [small(cls, mode, shape) for mode in modes for shape in (None, (1, -1))]


@may_be_unconverged
@parametrize_with_checks(
    [cls() for cls in ESTIMATORS],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_scikit_learn_checks_with_defaults(estimator, check):
    check(estimator)


@parametrize_with_checks(
    [small(cls, "channel_wise", (1, -1)) for cls in ESTIMATORS],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_scikit_learn_checks_on_rows_as_series(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks(
    [
        estimator
        for cls in ESTIMATORS
        for estimator in [
            small(cls, "channel_wise", None),
            *combinations(cls, THRESHOLD_MODES[1:]),
        ]
    ],
    expected_failed_checks=expected_failed_checks,
    xfail_strict=True,
)
def test_scikit_learn_checks_of_every_threshold_mode(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("input_shape", [None, (1, -1)])
@pytest.mark.parametrize(
    "check",
    [
        check_dataframe_column_names_consistency,
        check_inplace_ensure_writeable,
        check_param_validation,
    ],
)
def test_checks_that_check_estimator_leaves_out(cls, input_shape, check):
    if check is check_dataframe_column_names_consistency:
        pytest.importorskip("pandas")
    check(cls.__name__, small(cls, "channel_wise", input_shape))


def documented_parameters(cls):
    """Names and defaults in the Parameters section of the class docstring."""
    doc = inspect.cleandoc(cls.__doc__)
    section = doc.split("Parameters\n----------\n")[1].split("\nAttributes\n")[0]
    headings = re.findall(r"^(\w+) : ((?:.|\n    (?=    ))*)", section, re.MULTILINE)
    return {name: re.search(r"default=(.+)$", kind).group(1) for name, kind in headings}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_docstring_gives_every_parameter_in_order_with_its_default(cls):
    signature = inspect.signature(cls).parameters
    defaults = {name: parameter.default for name, parameter in signature.items()}
    documented = documented_parameters(cls)
    assert list(documented) == list(defaults)
    assert documented == {
        name: f'"{value}"' if isinstance(value, str) else repr(value)
        for name, value in defaults.items()
    }


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_only_depth_and_width_are_positional(cls):
    parameters = inspect.signature(cls).parameters.values()
    positional = [p.name for p in parameters if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positional == ["depth", "width"]


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_docstring_names_every_fitted_attribute(cls, tiny):
    X, y = np.arange(20.0).reshape(10, 2), np.arange(10) % 2
    fitted = {name for name in dir(cls(**tiny).fit(X, y)) if re.fullmatch(r"[a-z]\w*[^_]_", name)}
    attributes = inspect.cleandoc(cls.__doc__).split("Attributes\n----------\n")[1]
    documented = set(re.findall(r"^(\w+_) : ", attributes.split("\nSee Also")[0], re.MULTILINE))
    assert documented == fitted | {"feature_names_in_"}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_parameter_has_a_constraint(cls):
    assert set(cls._parameter_constraints) == set(inspect.signature(cls).parameters)


def test_both_estimators_share_all_parameters_but_one():
    own = [set(inspect.signature(cls).parameters) for cls in ESTIMATORS]
    assert own[0] - own[1] == {"class_weight"}
    assert own[1] - own[0] == {"loss"}


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_no_parameter_bears_the_name_of_a_method(cls):
    assert not set(inspect.signature(cls).parameters) & set(dir(cls))
