import numpy as np
import pytest
import pywt
import torch

from sklearn_drsn.functional import (
    firm_threshold,
    garrote_threshold,
    group_soft_threshold,
    hard_threshold,
    mean_magnitude,
    soft_threshold,
)

RULES = {"soft": soft_threshold, "hard": hard_threshold, "garrote": garrote_threshold}
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
# Both signs, both zeros, and exact ties with the thresholds 0.5, 1 and 2.5.
VALUES = (-7.0, -2.5, -1.75, -1.0, -0.5, -0.1, -0.0, 0.0, 0.2, 0.5, 1.0, 1.5, 2.5, 100.0)
BROADCASTS = (
    ((3, 4, 5), ()),
    ((3, 4, 5), (3, 1, 1)),
    ((3, 4, 5), (3, 4, 1)),
    ((3, 4, 5), (5,)),
    ((3, 4, 5), (3, 4, 5)),
    ((4, 1), (3, 4, 5)),
    ((3, 1, 5), (4, 1)),
    ((), (3, 4)),
)


def firm(x, threshold):
    return firm_threshold(x, threshold, 2.0 * threshold + 0.5)


EVERY_RULE = {**RULES, "firm": firm}
every_rule = pytest.mark.parametrize("rule", EVERY_RULE.values(), ids=EVERY_RULE)


def make_pair(x_shape=(3, 4, 5), threshold_shape=(3, 4, 1), dtype=torch.float64):
    """Values and thresholds that require gradients; some values lie within, some outside."""
    generator = torch.Generator().manual_seed(0)
    x = 2 * torch.randn(x_shape, generator=generator, dtype=torch.float64)
    threshold = 0.2 + torch.rand(threshold_shape, generator=generator, dtype=torch.float64)
    return x.to(dtype).requires_grad_(), threshold.to(dtype).requires_grad_()


def make_ties(dtype=torch.float64):
    """All of VALUES against a threshold that several of them equal, requiring gradients."""
    x = torch.tensor(VALUES, dtype=dtype).repeat(2, 1)
    return x.requires_grad_(), torch.tensor([[1.0], [0.0]], dtype=dtype).requires_grad_()


def gradients(function, x, threshold):
    x, threshold = (tensor.detach().clone().requires_grad_() for tensor in (x, threshold))
    y = function(x, threshold)
    weight = torch.arange(1, y.numel() + 1, dtype=y.dtype).reshape(y.shape)
    return y.detach(), *torch.autograd.grad((y * weight).sum(), (x, threshold))


class TestValue:
    @pytest.mark.parametrize("threshold", [0.5, 1.0, 2.5])
    @pytest.mark.parametrize("mode", RULES)
    def test_equals_pywavelets(self, mode, threshold):
        expected = pywt.threshold(np.array(VALUES), threshold, mode)
        y = RULES[mode](torch.tensor(VALUES, dtype=torch.float64), threshold)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-15, atol=1e-15)

    @pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (1.0, 2.5), (0.5, 50.0)])
    def test_firm_equals_pywavelets(self, low, high):
        expected = pywt.threshold_firm(np.array(VALUES), low, high)
        y = firm_threshold(torch.tensor(VALUES, dtype=torch.float64), low, high)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-14, atol=1e-15)

    def test_firm_lies_between_hard_and_soft(self):
        x = torch.tensor(VALUES)
        torch.testing.assert_close(firm_threshold(x, 1.0, 1.0 + 1e-6), hard_threshold(x, 1.001))
        torch.testing.assert_close(firm_threshold(x, 1.0, 1e12), soft_threshold(x, 1.0))

    def test_firm_with_an_infinite_high_is_soft(self):
        x = torch.tensor(VALUES)
        torch.testing.assert_close(firm_threshold(x, 1.0, float("inf")), soft_threshold(x, 1.0))

    @pytest.mark.parametrize(("x_shape", "threshold_shape"), BROADCASTS)
    def test_soft_is_equation_5(self, x_shape, threshold_shape):
        """Zhao et al. 2020, equation 5, case by case."""
        x, threshold = (tensor.detach() for tensor in make_pair(x_shape, threshold_shape))
        a, tau = np.broadcast_arrays(x.numpy(), threshold.numpy())
        expected = np.select([a > tau, a < -tau], [a - tau, a + tau], 0.0)
        y = soft_threshold(x, threshold).numpy()
        assert y.shape == expected.shape
        np.testing.assert_allclose(y, expected, rtol=0, atol=1e-15)

    @every_rule
    def test_zero_threshold_changes_nothing(self, rule):
        """PyWavelets divides 0 by 0 here and gives nan."""
        x = torch.tensor(VALUES)
        if rule is firm:
            x = x[x.abs() > 0.5]  # the firm rule's upper threshold: beyond it nothing shrinks
        assert torch.equal(rule(x, 0.0), x)
        assert torch.equal(rule(torch.zeros(3), 0.0), torch.zeros(3))

    @pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
    def test_infinite_threshold_removes_every_finite_value(self, rule):
        assert torch.equal(rule(torch.tensor(VALUES), float("inf")), torch.zeros(len(VALUES)))

    @every_rule
    def test_nan_and_infinity_survive(self, rule):
        y = rule(torch.tensor([torch.nan, torch.inf, -torch.inf, 0.1]), 1.0)
        expected = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0])
        torch.testing.assert_close(y, expected, equal_nan=True, rtol=0, atol=0)

    @every_rule
    def test_tensor_and_number_agree(self, rule):
        x = torch.tensor(VALUES)
        assert torch.equal(rule(x, 1.0), rule(x, torch.tensor(1.0)))

    @every_rule
    def test_strided_input(self, rule):
        x, threshold = (tensor.detach() for tensor in make_pair((6, 4, 10), (6, 4, 1)))
        x, threshold = x.transpose(0, 2)[::2], threshold.transpose(0, 2)
        assert not x.is_contiguous()
        assert torch.equal(rule(x, threshold), rule(x.contiguous(), threshold.contiguous()))

    @every_rule
    def test_input_is_left_alone(self, rule):
        x, threshold = (tensor.detach() for tensor in make_pair())
        before = x.clone(), threshold.clone()
        rule(x, threshold)
        assert torch.equal(x, before[0])
        assert torch.equal(threshold, before[1])

    @pytest.mark.parametrize("dims", [(2,), (1, 2)])
    def test_mean_magnitude_is_a_numpy_line(self, dims):
        x = make_pair()[0].detach()
        expected = np.abs(x.numpy()).mean(dims, keepdims=True)
        np.testing.assert_allclose(mean_magnitude(x, dims).numpy(), expected, rtol=1e-14)

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_mean_magnitude_of_many_halves(self, dtype):
        x = torch.full((1, 1, 65536), -2.0, dtype=dtype)
        assert mean_magnitude(x, (2,)).tolist() == [[[2.0]]]
        assert mean_magnitude(x, (2,)).dtype == dtype

    def test_mean_magnitude_over_no_axis_is_refused(self):
        with pytest.raises(ValueError, match="at least one axis"):
            mean_magnitude(torch.ones(2, 3), ())


class TestShapeAndType:
    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @every_rule
    def test_type_of_x_is_kept(self, rule, dtype):
        x = torch.tensor(VALUES, dtype=dtype)
        threshold = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        assert rule(x, 1.0).dtype == rule(x, threshold).dtype == dtype

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @every_rule
    def test_half_precision_rounds_once(self, rule, dtype):
        x = torch.tensor(VALUES, dtype=dtype)
        exact = rule(x.double(), 1.0)
        y = rule(x, 1.0).double()
        torch.testing.assert_close(y, exact, rtol=2 * torch.finfo(dtype).eps, atol=0)

    @pytest.mark.parametrize(("x_shape", "threshold_shape"), BROADCASTS)
    @every_rule
    def test_shapes_broadcast(self, rule, x_shape, threshold_shape):
        y = rule(*make_pair(x_shape, threshold_shape))
        assert y.shape == torch.broadcast_shapes(x_shape, threshold_shape)

    @pytest.mark.parametrize("shape", [(0,), (0, 3, 5), (3, 0, 5), (3, 5, 0)])
    @every_rule
    def test_empty_input(self, rule, shape):
        x = torch.empty(shape, requires_grad=True)
        threshold = torch.ones((*shape[:-1], 1) if shape[-1] else shape, requires_grad=True)
        y = rule(x, threshold)
        assert y.shape == shape
        y.sum().backward()
        assert x.grad.shape == shape

    @every_rule
    def test_autocast(self, rule):
        """Low-precision features meet full-precision thresholds, and the other way round."""
        weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
        threshold = torch.full((4, 1), 0.1, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16):
            features = torch.ones(4, 4) @ weight
            assert features.dtype == torch.bfloat16
            y = rule(features, threshold)
            assert y.dtype == torch.bfloat16
            assert rule(weight, features.abs()).dtype == torch.float32
            y.float().square().sum().backward()
        assert weight.grad.dtype == torch.float32
        assert weight.grad.isfinite().all()
        assert weight.grad.any()
        if rule is not hard_threshold:
            assert threshold.grad.dtype == torch.float32
            assert threshold.grad.any()


class TestGradient:
    def test_soft_is_equation_6(self):
        """Zhao et al. 2020, equation 6: one outside the threshold, zero inside and on it."""
        x, threshold = make_ties()
        soft_threshold(x, threshold).sum().backward()
        outside = x.detach().abs() > threshold.detach()
        assert torch.equal(x.grad, outside.double())
        assert torch.equal(threshold.grad, -(x.detach().sign() * outside).sum(1, keepdim=True))

    @pytest.mark.parametrize(("x_shape", "threshold_shape"), BROADCASTS)
    @pytest.mark.parametrize("rule", [soft_threshold, garrote_threshold, firm])
    def test_gradcheck(self, rule, x_shape, threshold_shape):
        assert torch.autograd.gradcheck(rule, make_pair(x_shape, threshold_shape))

    @pytest.mark.parametrize("rule", [soft_threshold, garrote_threshold, firm])
    def test_gradcheck_of_strided_input(self, rule):
        x, threshold = make_pair((5, 4, 6), (1, 4, 2))
        pair = x.transpose(0, 2)[::2], threshold.transpose(0, 2)[::2]
        assert not pair[0].is_contiguous()
        assert torch.autograd.gradcheck(rule, pair)

    def test_gradcheck_of_hard(self):
        x, threshold = make_pair()
        assert torch.autograd.gradcheck(lambda x: hard_threshold(x, threshold.detach()), (x,))

    def test_hard_passes_none_to_the_threshold(self):
        x, threshold = make_pair()
        y = hard_threshold(x, threshold)
        assert torch.autograd.grad(y.sum(), threshold, allow_unused=True) == (None,)

    def test_gradcheck_of_mean_magnitude(self):
        assert torch.autograd.gradcheck(lambda x: mean_magnitude(x, (1, 2)), make_pair()[:1])

    @pytest.mark.parametrize("kept", [0, 1], ids=["x", "threshold"])
    @pytest.mark.parametrize("rule", [soft_threshold, garrote_threshold, firm])
    def test_either_may_require_it_alone(self, rule, kept):
        pair = make_pair()
        both = torch.autograd.grad(rule(*pair).sum(), pair)
        alone = [tensor.detach() for tensor in pair]
        alone[kept].requires_grad_()
        rule(*alone).sum().backward()
        assert torch.equal(alone[kept].grad, both[kept])
        assert alone[1 - kept].grad is None

    def test_number_as_threshold(self):
        x = torch.tensor(VALUES, requires_grad=True)
        soft_threshold(x, 1.0).sum().backward()
        assert torch.equal(x.grad, (x.detach().abs() > 1).float())

    @every_rule
    def test_finite_at_zero(self, rule):
        x, threshold = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 1, requires_grad=True)
        rule(x, threshold).sum().backward()
        assert x.grad.isfinite().all()
        assert threshold.grad is None or threshold.grad.isfinite().all()

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    def test_type_of_each_input(self, dtype):
        x = torch.tensor(VALUES, dtype=dtype, requires_grad=True)
        threshold = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
        soft_threshold(x, threshold).sum().backward()
        assert x.grad.dtype == dtype
        assert threshold.grad.dtype == torch.float64

    @pytest.mark.parametrize("threshold", [1.0, torch.ones(3, 4, 1, requires_grad=True)])
    def test_soft_saves_one_tensor(self, threshold):
        saved = []
        x = make_pair()[0]
        with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t.shape), lambda t: t):
            soft_threshold(x, threshold)
        assert saved == [x.shape]

    def test_second_derivative_is_refused(self):
        x, threshold = make_pair()
        (first,) = torch.autograd.grad(
            soft_threshold(x, threshold).square().sum(), x, create_graph=True
        )
        with pytest.raises(RuntimeError, match="once_differentiable"):
            first.sum().backward()


class TestCompilers:
    @pytest.mark.parametrize("make", [make_ties, make_pair], ids=["ties", "random"])
    @pytest.mark.parametrize(
        "backend",
        [
            "aot_eager",
            pytest.param(
                "inductor",
                marks=[
                    pytest.mark.slow,
                    # torch's own compiler still imports modules written for torch.jit
                    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
                ],
            ),
        ],
    )
    def test_compiled_equals_eager(self, backend, make):
        torch.compiler.reset()
        compiled = torch.compile(soft_threshold, fullgraph=True, backend=backend)
        x, threshold = make(dtype=torch.float32)
        for result, expected in zip(
            gradients(compiled, x, threshold), gradients(soft_threshold, x, threshold), strict=True
        ):
            torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)

    def test_export_with_any_number_of_samples(self):
        module = Shrinkage()
        x, threshold = (tensor.detach() for tensor in make_pair())
        n_samples = torch.export.Dim("n_samples")
        program = torch.export.export(
            module, (x, threshold), dynamic_shapes=({0: n_samples}, {0: n_samples})
        )
        x, threshold = (tensor.detach() for tensor in make_pair((7, 4, 5), (7, 4, 1)))
        torch.testing.assert_close(program.module()(x, threshold), module(x, threshold))

    # tracing is deprecated in favour of export, and warns that the checks are not recorded
    @pytest.mark.filterwarnings("ignore:`torch.jit.trace:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    @pytest.mark.parametrize("make", [make_ties, make_pair], ids=["ties", "random"])
    def test_traced_equals_eager(self, make):
        x, threshold = make()
        traced = torch.jit.trace(soft_threshold, make_pair(x.shape, threshold.shape))
        for result, expected in zip(
            gradients(traced, x, threshold), gradients(soft_threshold, x, threshold), strict=True
        ):
            torch.testing.assert_close(result, expected)


class Shrinkage(torch.nn.Module):
    def forward(self, x, threshold):
        return soft_threshold(x, threshold)


class TestRefuses:
    @pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64], ids=str)
    @every_rule
    def test_other_than_floats(self, rule, dtype):
        with pytest.raises(TypeError, match=f"x must be a floating-point tensor, got {dtype}"):
            rule(torch.ones(3, dtype=dtype), 1.0)

    @every_rule
    def test_other_than_tensors(self, rule):
        with pytest.raises(TypeError, match="x must be a floating-point tensor, got list"):
            rule([1.0, 2.0], 1.0)

    @pytest.mark.parametrize("threshold", [-0.1, -torch.inf, torch.nan])
    @pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
    def test_negative_threshold(self, rule, threshold):
        with pytest.raises(ValueError, match=f"threshold must be non-negative, got {threshold}"):
            rule(torch.ones(3), threshold)

    def test_firm_with_negative_low(self):
        with pytest.raises(ValueError, match=r"threshold must be non-negative, got -1\.0"):
            firm_threshold(torch.ones(3), -1.0, 1.0)

    @pytest.mark.parametrize("high", [0.5, 1.0, torch.nan])
    def test_firm_with_high_not_above_low(self, high):
        match = rf"high must be greater than low, got low=1\.0, high={high}"
        with pytest.raises(ValueError, match=match):
            firm_threshold(torch.ones(3), 1.0, high)

    @every_rule
    def test_shapes_that_do_not_broadcast(self, rule):
        with pytest.raises(RuntimeError, match="must match the size"):
            rule(torch.ones(3, 4), torch.ones(3))


class TestGroups:
    def test_value(self):
        x, _ = make_pair((3, 4, 5), ())
        norm = np.sqrt(np.square(x.detach().numpy()).sum((0, 2), keepdims=True))
        threshold = float(np.sort(norm.ravel())[1])  # that of the second smallest group
        found = group_soft_threshold(x, threshold, (0, 2)).detach().numpy()
        expected = x.detach().numpy() * np.maximum(1 - threshold / norm, 0)
        np.testing.assert_allclose(found, expected, atol=1e-15)
        assert [group.any() for group in found.transpose(1, 0, 2)].count(False) == 2

    def test_groups_of_one_value_are_soft_thresholded(self):
        x, threshold = make_ties()
        found = group_soft_threshold(x.unsqueeze(2), threshold.unsqueeze(2), (2,)).squeeze(2)
        torch.testing.assert_close(found, soft_threshold(x, threshold))

    def test_zeros_stay(self):
        assert not group_soft_threshold(torch.zeros(2, 3), 0.0, (1,)).any()

    def test_gradcheck(self):
        x, threshold = make_pair((3, 4, 5), (3, 1, 1))
        assert torch.autograd.gradcheck(lambda *a: group_soft_threshold(*a, (1, 2)), (x, threshold))

    def test_refuses(self):
        with pytest.raises(TypeError, match="floating-point"):
            group_soft_threshold(torch.ones(2, dtype=torch.int64), 1.0, (0,))
        with pytest.raises(ValueError, match="non-negative"):
            group_soft_threshold(torch.ones(2), -1.0, (0,))
