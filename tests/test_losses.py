import builtins
import pickle
import re
from functools import partial

import numpy as np
import pytest
import torch

from sklearn_drsn.losses import (
    AbsoluteError,
    GeometricError,
    MaskedError,
    SquaredErrorSum,
    SteinRisk,
    StructuralLoss,
)

pytorch_msssim = pytest.importorskip("pytorch_msssim")
LOSSES = (AbsoluteError, SquaredErrorSum, StructuralLoss)
every_loss = pytest.mark.parametrize("make", LOSSES)
# Smallest side: number of scales that fit.
SCALES = {11: 1, 21: 1, 22: 2, 44: 3, 87: 3, 88: 4, 175: 4, 176: 5, 200: 5}


def make_pair(*shape, noise=0.05, seed=0):
    """Smooth images and noisy ones."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.rand(shape, generator=generator)
    target = torch.nn.functional.avg_pool2d(target, 5, 1, 2)
    return target + noise * torch.randn(shape, generator=generator), target


def ssim_of(prediction, target):
    """Mean over channels of scikit-image's index, for every image."""
    metrics = pytest.importorskip("skimage.metrics")
    ssim = partial(
        metrics.structural_similarity,
        data_range=1.0,
        channel_axis=0,
        gaussian_weights=True,
        use_sample_covariance=False,
        sigma=1.5,
    )
    pairs = zip(prediction.double().numpy(), target.double().numpy(), strict=True)
    return torch.tensor([ssim(*pair) for pair in pairs])


@every_loss
class TestEveryLoss:
    def test_reduction(self, make):
        prediction, target = make_pair(3, 2, 24, 20)
        each = make(reduction="none")(prediction, target)
        assert each.shape == (3,)
        torch.testing.assert_close(make()(prediction, target), each.mean())
        torch.testing.assert_close(make()(prediction[1:2], target[1:2]), each[1])

    def test_zero_for_a_perfect_result(self, make):
        _, target = make_pair(2, 1, 24, 20)
        assert make()(target, target).abs() < 1e-5
        assert make()(target + 0.1, target) > 1e-2

    def test_gradient(self, make):
        prediction, target = (images.double() for images in make_pair(2, 1, 12, 11))
        loss = make(reduction="none")
        assert torch.autograd.gradcheck(lambda x: loss(x, target), prediction.requires_grad_())

    def test_descends_to_the_target(self, make):
        prediction, target = make_pair(2, 1, 24, 20)
        prediction.requires_grad_()
        optimizer = torch.optim.Adam([prediction], lr=0.005)
        for _ in range(60):
            optimizer.zero_grad()
            make()(prediction, target).backward()
            optimizer.step()
        assert (prediction - target).abs().mean() < 0.01

    def test_refuses(self, make):
        with pytest.raises(ValueError, match="reduction must be 'mean' or 'none', got 'sum'"):
            make(reduction="sum")
        with pytest.raises(ValueError, match=r"one shape, got \(2, 1, 12, 12\) and \(2, 12, 12\)"):
            make()(torch.ones(2, 1, 12, 12), torch.ones(2, 12, 12))

    def test_round_trip(self, make):
        prediction, target = make_pair(2, 1, 24, 20)
        loss = make(reduction="none")
        copy = pickle.loads(pickle.dumps(loss))
        assert repr(copy) == repr(loss)
        assert torch.equal(copy(prediction, target), loss(prediction, target))


class TestValues:
    def test_absolute_error(self):
        prediction, target = torch.tensor([[[1.0, -3.0]], [[0.0, 1.0]]]), torch.zeros(2, 1, 2)
        assert AbsoluteError(reduction="none")(prediction, target).tolist() == [2.0, 0.5]

    def test_squared_error_sum_grows_with_the_image(self):
        prediction, target = torch.full((2, 1, 6, 5), 0.5), torch.zeros(2, 1, 6, 5)
        assert SquaredErrorSum()(prediction, target).item() == pytest.approx(0.5 * 30 * 0.25)
        # The halved sum over the whole batch and its size, as in the paper.
        torch.testing.assert_close(
            SquaredErrorSum()(prediction, target), (prediction - target).square().sum() / (2 * 2)
        )

    @pytest.mark.parametrize("shape", [(2, 3, 192, 176), (2, 1, 176, 256)])
    def test_structural_loss_on_five_scales(self, shape):
        prediction, target = make_pair(*shape)
        ssim = ssim_of(prediction, target)
        ms_ssim = pytorch_msssim.ms_ssim(prediction, target, 1.0, size_average=False)
        error = (prediction - target).abs().mean((1, 2, 3))
        loss = StructuralLoss(reduction="none")(prediction, target)
        expected = 0.3 * error + 0.7 * ((1 - ssim) + (1 - ms_ssim))
        torch.testing.assert_close(loss, expected.float(), rtol=0, atol=1e-4)

    def test_one_scale_is_ssim(self):
        prediction, target = make_pair(2, 3, 21, 40)
        loss = StructuralLoss(0.0, 1.0, reduction="none")(prediction, target)
        expected = 2 * (1 - ssim_of(prediction, target))
        torch.testing.assert_close(loss, expected.float(), rtol=0, atol=1e-4)

    def test_weights(self):
        prediction, target = make_pair(2, 1, 24, 24)
        error, structure = StructuralLoss(1.0, 0.0), StructuralLoss(0.0, 1.0)
        torch.testing.assert_close(error(prediction, target), AbsoluteError()(prediction, target))
        torch.testing.assert_close(
            StructuralLoss(0.5, 2.0)(prediction, target),
            0.5 * error(prediction, target) + 2 * structure(prediction, target),
        )

    def test_data_range(self):
        prediction, target = make_pair(2, 1, 24, 24)
        scaled = StructuralLoss(0.0, 1.0, data_range=255.0)(255 * prediction, 255 * target)
        torch.testing.assert_close(scaled, StructuralLoss(0.0, 1.0)(prediction, target))


class TestSmallImages:
    @pytest.mark.parametrize(("side", "n_scales"), SCALES.items())
    def test_scales_that_fit(self, side, n_scales):
        """A brighter image differs in luminance alone, which the coarsest scale looks at."""
        target = torch.full((1, 1, side, side + 7), 0.4)
        loss = StructuralLoss(0.0, 1.0)(2 * target, target).item()
        luminance = (2 * 0.8 * 0.4 + 1e-4) / (0.8**2 + 0.4**2 + 1e-4)
        weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])[:n_scales]
        expected = (1 - luminance) + (1 - luminance ** (weights[-1] / weights.sum()))
        assert loss == pytest.approx(expected, abs=1e-5)

    def test_five_scales_need_176_pixels(self):
        assert [side for side, n_scales in SCALES.items() if n_scales == 5] == [176, 200]
        assert "176 pixels" in StructuralLoss.__doc__

    @pytest.mark.parametrize("shape", [(1, 1, 10, 40), (1, 1, 40, 10), (1, 40, 40)])
    def test_refuses_less_than_a_window(self, shape):
        message = f"(n, n_channels, height, width) of at least 11 pixels, got {shape}"
        with pytest.raises(ValueError, match=re.escape(message)):
            StructuralLoss()(torch.ones(shape), torch.ones(shape))


class TestStructuralLoss:
    def test_gradient_is_finite_at_negative_similarity(self):
        _, target = make_pair(2, 1, 48, 48)
        prediction = (1 - target).requires_grad_()
        StructuralLoss()(prediction, target).backward()
        assert prediction.grad.isfinite().all()
        assert prediction.grad.any()

    def test_same_under_autocast(self):
        prediction, target = make_pair(2, 1, 48, 48)
        with torch.autocast("cpu", torch.bfloat16):
            loss = StructuralLoss()(prediction, target)
        torch.testing.assert_close(loss, StructuralLoss()(prediction, target))
        low = StructuralLoss()(prediction.bfloat16(), target.bfloat16())
        torch.testing.assert_close(low.float(), loss, rtol=0.02, atol=0.01)

    def test_without_the_library(self, monkeypatch):
        find = builtins.__import__

        def refuse(name, *args, **kwargs):
            if name == "pytorch_msssim":
                raise ImportError(name)
            return find(name, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", refuse)
        with pytest.raises(ImportError, match=re.escape("pip install 'sklearn_drsn[image]'")):
            StructuralLoss()(*make_pair(1, 1, 12, 12))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"error_weight": -1.0}, "not be negative, got error_weight=-1.0"),
            ({"structure_weight": -0.1}, "structure_weight=-0.1"),
            ({"data_range": 0.0}, "data_range must be positive, got 0.0"),
        ],
    )
    def test_refuses_parameters(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            StructuralLoss(**arguments)


# --- losses of denoisers of signals --------------------------------------------------------------


def make_signals(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestGeometricError:
    def test_value(self):
        x, errors = torch.zeros(3, 2, 5), torch.tensor([0.1, 1.0, 2.0]).reshape(3, 1, 1)
        expected = (0.01 * 1.0 * 4.0) ** (1 / 3)
        assert GeometricError(floor=0.0)(x + errors, x).item() == pytest.approx(expected)
        floored = np.exp(np.mean(np.log(np.array([0.01, 1.0, 4.0]) + 0.5)))
        assert GeometricError(floor=0.5)(x + errors, x).item() == pytest.approx(floored)

    def test_a_perfect_result_costs_the_floor(self):
        x = make_signals(4, 1, 20).requires_grad_()
        loss = GeometricError(floor=1e-4)(x, x.detach())
        loss.backward()
        assert loss.item() == pytest.approx(1e-4)
        assert x.grad.isfinite().all()

    def test_a_decibel_counts_the_same_in_every_sample(self):
        target = make_signals(2, 1, 50)
        errors = make_signals(2, 1, 50, seed=1) * torch.tensor([0.01, 3.0]).reshape(2, 1, 1)
        losses = []
        for sample in range(2):
            less = errors.clone()
            less[sample] /= 2
            losses.append(GeometricError(floor=0.0)(target + less, target))
        torch.testing.assert_close(losses[0], losses[1])
        whole = GeometricError(floor=0.0)(target + errors, target)
        torch.testing.assert_close(losses[0], whole / 2)

    def test_gradient(self):
        prediction, target = make_signals(3, 2, 6).requires_grad_(), make_signals(3, 2, 6, seed=1)
        assert torch.autograd.gradcheck(lambda x: GeometricError()(x, target), prediction)


class TestSteinRisk:
    def risk(self, function, noisy, sigma, seed=5):
        """Estimate with a probe of plus and minus ones."""
        probe = make_signals(*noisy.shape, seed=seed).sign()
        outputs = torch.cat([function(noisy), function(noisy + SteinRisk().step * probe)])
        return SteinRisk()(outputs, noisy, sigma, probe)

    @pytest.mark.parametrize("share", [0.0, 0.3, 1.0, 1.5])
    @pytest.mark.parametrize("sigma", [0.5, 2.0])
    def test_unbiased_for_linear_shrinkage(self, share, sigma):
        """The mean over draws is the true risk, within four standard errors."""
        clean = make_signals(1, 1, 200)
        noisy = clean + sigma * make_signals(400, 1, 200, seed=1)
        level = torch.full((1, 1, 1), sigma, dtype=torch.float64)
        draws = torch.stack([self.risk(lambda y: share * y, y[None], level) for y in noisy])
        true = (1 - share) ** 2 * clean.square().mean() + share**2 * sigma**2
        spread = draws.std() / len(draws) ** 0.5
        assert abs(draws.mean() - true) < 4 * spread + 1e-9

    def test_exact_for_linear_shrinkage(self):
        noisy, level = make_signals(3, 2, 40), torch.tensor(0.7).double()
        expected = (0.4 - 1) ** 2 * noisy.square().mean() - 0.49 + 2 * 0.49 * 0.4
        torch.testing.assert_close(self.risk(lambda y: 0.4 * y, noisy, level), expected)

    @pytest.mark.parametrize("threshold", [0.5, 2.0])
    def test_unbiased_for_soft_thresholds(self, threshold):
        clean = 3 * make_signals(1, 1, 500)
        noisy = clean + make_signals(300, 1, 500, seed=1)
        shrink = torch.nn.Softshrink(threshold)
        estimated = self.risk(shrink, noisy, torch.ones(()).double())
        true = (shrink(noisy) - clean).square().mean()
        assert estimated.item() == pytest.approx(true.item(), rel=0.02)

    def test_each_sample_has_its_noise(self):
        noisy = make_signals(4, 2, 30)
        sigma = torch.rand(4, 2, 1, generator=torch.Generator().manual_seed(0)).double()
        together = self.risk(torch.tanh, noisy, sigma)
        probe = make_signals(*noisy.shape, seed=5).sign()
        alone = []
        for i in range(4):
            outputs = torch.tanh(torch.stack([noisy[i], noisy[i] + SteinRisk().step * probe[i]]))
            alone.append(SteinRisk()(outputs, noisy[i : i + 1], sigma[i : i + 1], probe[i : i + 1]))
        torch.testing.assert_close(together, torch.stack(alone).mean())

    def test_least_for_the_wiener_filter(self):
        """Its gradient leads to the share of the signal in the power."""
        noisy = 2 * make_signals(200, 1, 300) + make_signals(200, 1, 300, seed=1)
        share = torch.ones((), dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([share], lr=0.05)
        for _ in range(40):
            optimizer.zero_grad()
            self.risk(lambda y: share * y, noisy, torch.ones(()).double()).backward()
            optimizer.step()
        assert share.item() == pytest.approx(4 / 5, abs=0.01)

    def test_gradient(self):
        noisy, probe = make_signals(2, 1, 5), make_signals(2, 1, 5, seed=1).sign()
        outputs, sigma = make_signals(4, 1, 5, seed=2), torch.rand(2, 1, 1).double()
        loss = SteinRisk()
        assert torch.autograd.gradcheck(
            lambda x: loss(x, noisy, sigma, probe), outputs.requires_grad_()
        )


class TestMaskedError:
    def test_value(self):
        prediction, target = make_signals(3, 2, 20), make_signals(3, 2, 20, seed=1)
        hidden = make_signals(3, 2, 20, seed=2) > 0.5
        expected = np.square((prediction - target).numpy())[hidden.numpy()].mean()
        assert MaskedError()(prediction, target, hidden).item() == pytest.approx(expected)

    def test_everything_hidden_is_the_mean_squared_error(self):
        prediction, target = make_signals(3, 2, 20), make_signals(3, 2, 20, seed=1)
        everything = torch.ones(3, 2, 20, dtype=torch.bool)
        loss = MaskedError()(prediction, target, everything)
        torch.testing.assert_close(loss, torch.nn.functional.mse_loss(prediction, target))

    def test_gradient_is_zero_at_what_was_seen(self):
        prediction, target = make_signals(2, 1, 9).requires_grad_(), make_signals(2, 1, 9, seed=1)
        hidden = (torch.arange(9) % 4 == 1).expand(2, 1, 9)
        loss = MaskedError()
        assert torch.autograd.gradcheck(lambda x: loss(x, target, hidden), prediction)
        loss(prediction, target, hidden).backward()
        assert torch.equal(prediction.grad != 0, hidden)
