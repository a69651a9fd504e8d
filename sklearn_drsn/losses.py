"""Losses to train networks with, as modules: tensors in, one number or one for each sample out."""

import torch
from torch import Tensor, nn

__all__ = [
    "AbsoluteError",
    "GeometricError",
    "MaskedError",
    "SquaredErrorSum",
    "SteinRisk",
    "StructuralLoss",
]

# Weights of the scales of MS-SSIM, finest first (Wang, Simoncelli & Bovik 2003).
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
WINDOW_SIZE, WINDOW_STD = 11, 1.5


class _Loss(nn.Module):
    """Check the arguments and reduce what ``of_samples`` gives."""

    def __init__(self, reduction: str = "mean") -> None:
        if reduction not in ("mean", "none"):
            raise ValueError(f"reduction must be 'mean' or 'none', got {reduction!r}")
        super().__init__()
        self.reduction = reduction

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare two tensors of shape ``(n, ...)``.

        Returns
        -------
        Tensor of shape () or, for ``reduction="none"``, (n,)

        Raises
        ------
        ValueError
            If the shapes differ.
        """
        if prediction.shape != target.shape:
            raise ValueError(
                f"expected prediction and target of one shape, got {tuple(prediction.shape)} and "
                f"{tuple(target.shape)}"
            )
        losses = self.of_samples(prediction, target)
        return losses.mean() if self.reduction == "mean" else losses

    def of_samples(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, of shape ``(n,)``."""
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Show the reduction in the printed module."""
        return f"reduction={self.reduction!r}"


class AbsoluteError(_Loss):
    """Mean absolute error (L1) over all values of a sample.

    Parameters
    ----------
    reduction : {"mean", "none"}, default="mean"
        The mean over the samples or the loss of each of them.

    Raises
    ------
    ValueError
        If ``reduction`` is another.

    Examples
    --------
    >>> import torch
    >>> AbsoluteError()(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5))
    tensor(0.5000)
    """

    def of_samples(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, of shape ``(n,)``."""
        return (prediction - target).abs().flatten(1).mean(1)


class SquaredErrorSum(_Loss):
    r"""Half the sum of squared errors over all values of a sample, DnCNN's loss.

    .. math:: \ell = \frac{1}{2N} \sum_{i=1}^N \lVert \hat x_i - x_i \rVert^2

    Unlike a mean over pixels it grows with the patch, and so does the gradient; learning rates
    and weight decays of the paper belong to this scaling.

    Parameters
    ----------
    reduction : {"mean", "none"}, default="mean"
        The mean over the samples or the loss of each of them.

    Raises
    ------
    ValueError
        If ``reduction`` is another.

    References
    ----------
    K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian Denoiser", IEEE Trans. Image
    Processing 26(7), 2017, equation 1, :doi:`10.1109/TIP.2017.2662206`.

    Examples
    --------
    >>> import torch
    >>> SquaredErrorSum()(torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.5))
    tensor(2.)
    """

    def of_samples(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of every sample, of shape ``(n,)``."""
        return (prediction - target).square().flatten(1).sum(1) / 2


class GeometricError(nn.Module):
    r"""Geometric mean of the samples' mean squared errors.

    .. math:: \ell = \exp\Bigl(\frac{1}{N} \sum_i
              \log\bigl(\epsilon + \overline{(\hat x_i - x_i)^2}\bigr)\Bigr)

    A decibel counts the same in every sample, however noisy it is; by the plain mean a network
    learns from the noisiest samples alone and spoils clean ones.

    Parameters
    ----------
    floor : float, default=3e-5
        The error ``epsilon`` below which a sample is good enough.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(2, 1, 8)
    >>> GeometricError(floor=0.0)(x + torch.tensor([0.1, 1.0]).reshape(2, 1, 1), x)
    tensor(0.1000)
    """

    def __init__(self, floor: float = 3e-5) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Compare two tensors of shape ``(n, ...)``."""
        errors = (prediction - target).square().flatten(1).mean(1)
        return (errors + self.floor).log().mean().exp()


class SteinRisk(nn.Module):
    r"""Stein's unbiased estimate of the mean squared error, from noisy samples alone.

    .. math:: \overline{(f(y) - y)^2} - \sigma^2 + 2 \sigma^2 \overline{\partial f / \partial y},
              \qquad \overline{\partial f / \partial y} \approx
              \overline{b\,(f(y + h b) - f(y))} / h

    with a random probe ``b`` of plus and minus ones (Ramani et al. 2008). It holds for white
    Gaussian noise of a known standard deviation and for no other.

    Parameters
    ----------
    step : float, default=0.01
        The step ``h`` of the difference quotient.

    References
    ----------
    S. Ramani, T. Blu, M. Unser, "Monte-Carlo SURE", IEEE Trans. Image Processing 17(9), 2008,
    :doi:`10.1109/TIP.2008.2001404`.

    Examples
    --------
    >>> import torch
    >>> y = torch.randn(100, 1, 64, generator=torch.Generator().manual_seed(0))
    >>> probe = torch.ones_like(y)
    >>> halved = torch.cat([y, y + 0.01 * probe]) / 2  # what y / 2 makes of both
    >>> risk = SteinRisk()(halved, y, torch.ones(100, 1, 1), probe)
    >>> bool(abs(risk - 0.25) < 0.02)  # of a signal that is zero: the mean of (y / 2) ** 2
    True
    """

    def __init__(self, step: float = 0.01) -> None:
        super().__init__()
        self.step = step

    def forward(self, outputs: Tensor, noisy: Tensor, sigma: Tensor, probe: Tensor) -> Tensor:
        """Risk of ``outputs``: those for ``noisy`` and, stacked below, for the shifted samples."""
        output, shifted = outputs.chunk(2)
        slope = probe * (shifted - output) / self.step
        return ((output - noisy).square() - sigma**2 + 2 * sigma**2 * slope).mean()


class MaskedError(nn.Module):
    r"""Mean squared error at the values that were hidden from the network.

    A network that does not see a value cannot copy its noise: where the noise of neighbours is
    independent, the least masked error belongs to the best prediction of the signal
    (Noise2Self).

    References
    ----------
    J. Batson, L. Royer, "Noise2Self: Blind Denoising by Self-Supervision", ICML 2019,
    :arxiv:`1901.11365`.

    Examples
    --------
    >>> import torch
    >>> x = torch.zeros(1, 1, 4)
    >>> hidden = torch.tensor([[[True, False, False, False]]])
    >>> MaskedError()(x, torch.tensor([[[2.0, 5.0, 5.0, 5.0]]]), hidden)
    tensor(4.)
    """

    def forward(self, prediction: Tensor, target: Tensor, hidden: Tensor) -> Tensor:
        """Compare two tensors of shape ``(n, ...)`` where ``hidden`` is True."""
        return ((prediction - target).square() * hidden).sum() / hidden.sum()


class StructuralLoss(_Loss):
    r"""Absolute error and structural similarity on one and on several scales, MACR's loss.

    .. math:: \ell = w_1 \operatorname{MAE} +
              w_2 \left((1 - \operatorname{SSIM}) + (1 - \operatorname{MS-SSIM})\right)

    Parameters
    ----------
    error_weight : float, default=0.3
        Weight of the mean absolute error, not negative.
    structure_weight : float, default=0.7
        Weight of the two structural terms, not negative.
    data_range : float, default=1.0
        Largest minus smallest possible value of an image.
    reduction : {"mean", "none"}, default="mean"
        The mean over the samples or the loss of each of them.

    Raises
    ------
    ImportError
        If pytorch-msssim is missing, when the loss is computed.
    ValueError
        If a parameter is out of range, or images are not of shape ``(n, n_channels, height,
        width)`` or smaller than 11 pixels.

    Notes
    -----
    Windows are Gaussian, 11 pixels wide with a standard deviation of 1.5, and lie within the image.
    Channels count as images of their own. At negative values, which have no real power, the
    terms of MS-SSIM are cut off a little above zero, where gradients stay finite.

    **Small images.** Each of MS-SSIM's five scales halves the image and still has to hold a
    window: five need 176 pixels in both directions. Smaller images are compared on the scales
    that fit, four from 88 pixels on, three from 44, two from 22, one from 11, and the weights of
    those are scaled to sum to one. Patches that a network trains on are often smaller than 176
    pixels, and coarse structure that they do not hold cannot be compared; the loss of a perfect
    result is zero whatever the size, but losses of different sizes are not comparable.

    References
    ----------
    Q. Chen, Q. Hu, J. Li, Optics and Precision Engineering 29(7), 2021,
    :doi:`10.37188/OPE.20212907.1686`. Z. Wang, E. P. Simoncelli, A. C. Bovik, "Multiscale
    structural similarity for image quality assessment", Asilomar Conference on Signals, Systems
    and Computers, 2003, :doi:`10.1109/ACSSC.2003.1292216`.

    Examples
    --------
    >>> import torch
    >>> sharp = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    >>> loss = StructuralLoss()
    >>> bool(loss(0.9 * sharp, sharp) < loss(0.5 * sharp, sharp))
    True
    """

    # NOTE[DIFF] the paper does not give windows, constants or channels: those of Wang et al.

    def __init__(
        self,
        error_weight: float = 0.3,
        structure_weight: float = 0.7,
        *,
        data_range: float = 1.0,
        reduction: str = "mean",
    ) -> None:
        if min(error_weight, structure_weight) < 0:
            raise ValueError(
                f"weights must not be negative, got {error_weight=} and {structure_weight=}"
            )
        if not data_range > 0:
            raise ValueError(f"data_range must be positive, got {data_range}")
        super().__init__(reduction)
        self.error_weight = error_weight
        self.structure_weight = structure_weight
        self.data_range = data_range

    def of_samples(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Loss of every image, of shape ``(n,)``."""
        if prediction.ndim != 4 or min(prediction.shape[2:]) < WINDOW_SIZE:
            raise ValueError(
                f"expected images of shape (n, n_channels, height, width) of at least "
                f"{WINDOW_SIZE} pixels, got {tuple(prediction.shape)}"
            )
        error = (prediction - target).abs().flatten(1).mean(1)
        # Variances are small differences of large numbers: not in bfloat16.
        with torch.autocast(prediction.device.type, enabled=False):
            ssim, ms_ssim = _similarities(_full(prediction), _full(target), self.data_range)
        return self.error_weight * error + self.structure_weight * (2 - ssim - ms_ssim)

    def extra_repr(self) -> str:
        """Show the parameters in the printed module."""
        return (
            f"error_weight={self.error_weight}, structure_weight={self.structure_weight}, "
            f"data_range={self.data_range}, {super().extra_repr()}"
        )


def _similarities(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """SSIM and MS-SSIM of every image, means over its channels."""
    n_images, n_channels, height, width = x.shape
    x, y = (images.reshape(-1, 1, 1, height, width) for images in (x, y))
    ssim = _ssim(x, y, data_range)
    *weights, last_weight = _scale_weights(min(height, width))
    ms_ssim = torch.ones_like(ssim)
    for weight in weights:
        # A first constant that outweighs all means leaves contrast and structure.
        contrast = _ssim(x, y, data_range, constants=(1e9, 0.03))
        ms_ssim = ms_ssim * _power(contrast, weight)
        x, y = _halve(x), _halve(y)
    ms_ssim = ms_ssim * _power(_ssim(x, y, data_range), last_weight)
    ssim, ms_ssim = (values.view(n_images, n_channels).mean(1) for values in (ssim, ms_ssim))
    return ssim, ms_ssim


def _halve(planes: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(planes.squeeze(1), 2).unsqueeze(1)


def _full(x: Tensor) -> Tensor:
    """In float32 at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _scale_weights(side: int) -> list[float]:
    """Weights of the scales, each half of the last, that still hold a window."""
    n_scales = min(len(SCALE_WEIGHTS), (side // WINDOW_SIZE).bit_length())
    return [weight / sum(SCALE_WEIGHTS[:n_scales]) for weight in SCALE_WEIGHTS[:n_scales]]


def _power(similarity: Tensor, exponent: float) -> Tensor:
    return similarity.clamp(min=1e-6) ** exponent


def _ssim(
    x: Tensor, y: Tensor, data_range: float, constants: tuple[float, float] = (0.01, 0.03)
) -> Tensor:
    """SSIM of every plane ``(n_planes, 1, 1, height, width)``, of shape ``(n_planes, 1)``."""
    try:
        from pytorch_msssim import ssim
    except ImportError as error:
        raise ImportError(
            "StructuralLoss needs pytorch-msssim: pip install 'sklearn_drsn[image]'"
        ) from error

    def of_plane(x: Tensor, y: Tensor, window: Tensor) -> Tensor:
        return ssim(x, y, data_range, size_average=False, win=window, K=constants)

    # With a window for each plane, mapping makes one grouped convolution of all: on a CPU it takes
    # a tenth of the time of a batch of planes.
    position = torch.arange(WINDOW_SIZE, dtype=x.dtype, device=x.device) - WINDOW_SIZE // 2
    window = torch.softmax(-position.square() / (2 * WINDOW_STD**2), 0)
    return torch.vmap(of_plane)(x, y, window.expand(len(x), 1, 1, 1, WINDOW_SIZE))
