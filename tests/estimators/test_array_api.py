"""Tensors under scikit-learn's array API dispatch, end to end.

SciPy reads its switch at import, so the example runs in a process of its own, and with it the check
of scikit-learn that is skipped without the switch.
"""

import os
import subprocess
import sys

import pytest
import scipy
import torch
from sklearn.utils.fixes import parse_version

from sklearn_drsn import DRSNClassifier

EXAMPLE = """
import numpy as np, torch
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.utils.estimator_checks import check_array_api_input
from sklearn_drsn import DRSNClassifier, DRSNRegressor

tiny = {"depth": 1, "width": 4, "max_epochs": 15, "random_state": 0, "device": "cpu"}
y = torch.arange(40) % 2
X = torch.randn(40, 2, 16, generator=torch.Generator().manual_seed(0)) + 2 * y[:, None, None]
weight = torch.ones(40)
table, images = X[:, 0], X.reshape(40, 2, 4, 4)
target = X.mean((1, 2))
with config_context(array_api_dispatch=True):
    search = GridSearchCV(
        DRSNClassifier(**tiny), {"threshold_mode": ["channel_wise", None]},
        cv=2, scoring="balanced_accuracy", error_score="raise",
    ).fit(X, y, sample_weight=weight)
    assert search.best_score_ > 0.8, search.best_score_
    for method in ("predict", "predict_proba", "predict_log_proba"):
        result = getattr(search, method)(X)
        assert isinstance(result, torch.Tensor) and result.device == X.device, method
    assert isinstance(search.best_estimator_.embed(X), torch.Tensor)
    for Z in (table, images):
        search = GridSearchCV(
            DRSNClassifier(**tiny), {"width": [2, 4]}, cv=2, error_score="raise"
        ).fit(Z, y)
        assert search.best_score_ > 0.8, search.best_score_
        assert isinstance(search.predict_proba(Z), torch.Tensor)
    for Z in (table, X, images):
        scores = cross_validate(DRSNRegressor(**tiny), Z, target, cv=2, error_score="raise")
        assert (scores["test_score"] <= 1).all()
    regressor = DRSNRegressor(**tiny, early_stopping=True).fit(
        X, target, weight, groups=torch.arange(40) // 2
    )
    assert isinstance(regressor.predict(X), torch.Tensor)
    assert float(regressor.score(X, target, weight)) <= 1
    DRSNRegressor(**tiny).partial_fit(X, target, weight).fit(X, target, X_val=X, y_val=target)
    tensors = DRSNClassifier(**tiny).fit(X, y).predict_proba(X)
arrays = DRSNClassifier(**tiny).fit(X.numpy(), y.numpy()).predict_proba(X.numpy())
np.testing.assert_array_equal(tensors.numpy(), arrays)
for cls in (DRSNClassifier, DRSNRegressor):
    check_array_api_input(cls.__name__, cls(**tiny), "numpy", expect_only_array_outputs=False)
"""


@pytest.mark.skipif(
    parse_version(scipy.__version__) < parse_version("1.14"), reason="SciPy dispatches from 1.14 on"
)
def test_search_over_tensors_stays_with_tensors():
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", EXAMPLE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
def test_without_dispatch_tensors_count_as_arrays(method):
    X = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    y = torch.arange(20) % 2
    model = DRSNClassifier(depth=1, width=4, max_epochs=2, random_state=0).fit(X, y)
    result = getattr(model, method)(X)
    assert (result == getattr(model, method)(X.numpy())).all()
    assert not isinstance(result, torch.Tensor)
