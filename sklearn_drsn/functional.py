"""Thresholding functions and the threshold statistic: tensors in, tensors out.

Every function takes a threshold that broadcasts against ``x``: one number, one per sample
``(n, 1, 1)``, one per sample and channel ``(n, C, 1)``, or one per value. A threshold has to be
non-negative; a negative Python number is refused, the sign of a tensor is the caller's promise
(looking at it would make the processor wait for the device).
"""

import math
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = [
    "firm_threshold",
    "garrote_threshold",
    "group_soft_threshold",
    "hard_threshold",
    "mean_magnitude",
    "soft_threshold",
]

Threshold: TypeAlias = Tensor | float


def soft_threshold(x: Tensor, threshold: Threshold) -> Tensor:
    r"""Shrink ``x`` towards zero by ``threshold``; what lies within it becomes exactly zero.

    .. math:: y = \operatorname{sign}(x)\,\max(|x| - \tau, 0)

    The derivative with respect to ``x`` is 1 outside the threshold and 0 inside it, and with
    respect to ``threshold`` it is :math:`-\operatorname{sign}(x)` outside and 0 inside.

    Parameters
    ----------
    x : Tensor of any shape, floating point
        float16, bfloat16, float32 or float64; the result has the same type.
    threshold : float or Tensor broadcastable against ``x``
        Non-negative, in the units of ``x``.

    Returns
    -------
    Tensor of the broadcast shape of ``x`` and ``threshold``

    Raises
    ------
    TypeError
        If ``x`` is not a floating-point tensor.
    ValueError
        If ``threshold`` is a negative number.

    See Also
    --------
    garrote_threshold, firm_threshold : Shrink large values less.
    hard_threshold : Leaves large values as they are.

    Notes
    -----
    Computed as ``x - clip(x, -threshold, threshold)``, which divides by nothing and is therefore
    safe at 0/0. The gradient needs the result alone, so only that is saved.

    References
    ----------
    M. Zhao, S. Zhong, X. Fu, B. Tang, M. Pecht, "Deep Residual Shrinkage Networks for Fault
    Diagnosis", IEEE Trans. Industrial Informatics 16(7), 2020, equations 5 and 6,
    :doi:`10.1109/TII.2019.2943898`.
    D. L. Donoho, "De-noising by soft-thresholding", IEEE Trans. Information Theory 41(3), 1995,
    :doi:`10.1109/18.382009`.

    Examples
    --------
    >>> import torch
    >>> soft_threshold(torch.tensor([-3.0, -0.5, 0.0, 2.0]), 1.0)
    tensor([-2., 0., 0., 1.])
    """
    x, threshold = _check(x, threshold)
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        # A compiler fuses this, and its derivative, into one kernel each. (Not so with clamp, whose
        # derivative is another where the threshold is zero.)
        return torch.sign(x) * torch.relu(x.abs() - threshold)
    return _SoftThreshold.apply(x, threshold)


def hard_threshold(x: Tensor, threshold: Threshold) -> Tensor:
    r"""Set to zero what is smaller than ``threshold`` and keep the rest unchanged.

    .. math:: y = x\,[\,|x| \ge \tau\,]

    Parameters
    ----------
    x : Tensor of any shape, floating point
    threshold : float or Tensor broadcastable against ``x``
        Non-negative, in the units of ``x``. Its gradient is zero almost everywhere, so none
        flows to it.

    Returns
    -------
    Tensor of the broadcast shape of ``x`` and ``threshold``

    Raises
    ------
    TypeError
        If ``x`` is not a floating-point tensor.
    ValueError
        If ``threshold`` is a negative number.

    References
    ----------
    D. L. Donoho, I. M. Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika
    81(3), 1994, :doi:`10.1093/biomet/81.3.425`.

    Examples
    --------
    >>> import torch
    >>> hard_threshold(torch.tensor([-3.0, -0.5, 0.0, 2.0]), 1.0)
    tensor([-3., 0., 0., 2.])
    """
    x, threshold = _check(x, threshold)
    return torch.where(x.abs() < threshold, 0.0, x)


def garrote_threshold(x: Tensor, threshold: Threshold) -> Tensor:
    r"""Shrink with the non-negative garrote: large values lose less than small ones.

    .. math:: y = x - \tau^2 / x \text{ where } |x| > \tau, \text{ else } 0

    Parameters
    ----------
    x : Tensor of any shape, floating point
    threshold : float or Tensor broadcastable against ``x``
        Non-negative, in the units of ``x``.

    Returns
    -------
    Tensor of the broadcast shape of ``x`` and ``threshold``

    Raises
    ------
    TypeError
        If ``x`` is not a floating-point tensor.
    ValueError
        If ``threshold`` is a negative number.

    References
    ----------
    H.-Y. Gao, "Wavelet shrinkage denoising using the non-negative garrote", J. Computational and
    Graphical Statistics 7(4), 1998, :doi:`10.1080/10618600.1998.10474789`.

    Examples
    --------
    >>> import torch
    >>> garrote_threshold(torch.tensor([-4.0, -0.5, 0.0, 2.0]), 1.0)
    tensor([-3.7500, 0.0000, 0.0000, 1.5000])
    """
    x, threshold = _check(x, threshold)
    inside = x.abs() <= threshold
    divisor = torch.where(inside, 1.0, x)
    return torch.where(inside, 0.0, x - threshold * (threshold / divisor))


def firm_threshold(x: Tensor, low: Threshold, high: Threshold) -> Tensor:
    r"""Shrink between two thresholds: zero below ``low``, unchanged above ``high``.

    .. math:: y = \operatorname{sign}(x)\,\tau_2 (|x| - \tau_1) / (\tau_2 - \tau_1)
              \text{ where } \tau_1 < |x| \le \tau_2

    Parameters
    ----------
    x : Tensor of any shape, floating point
    low, high : float or Tensor broadcastable against ``x``
        ``0 <= low < high``, in the units of ``x``.

    Returns
    -------
    Tensor of the broadcast shape of ``x`` and the thresholds

    Raises
    ------
    TypeError
        If ``x`` is not a floating-point tensor.
    ValueError
        If ``low`` is a negative number, or both are numbers and ``high`` is not above ``low``.

    References
    ----------
    H.-Y. Gao, A. G. Bruce, "WaveShrink with firm shrinkage", Statistica Sinica 7(4), 1997.

    Examples
    --------
    >>> import torch
    >>> firm_threshold(torch.tensor([-3.0, -0.5, 0.0, 1.5]), 1.0, 2.0)
    tensor([-3., 0., 0., 1.])
    """
    if not isinstance(low, Tensor) and not isinstance(high, Tensor) and not low < high:
        raise ValueError(f"high must be greater than low, got low={low}, high={high}")
    x, low = _check(x, low)
    x, high = _check(x, high)
    between = soft_threshold(x, low) / (1 - low / high)
    return torch.where(x.abs() > high, x, between)


def group_soft_threshold(x: Tensor, threshold: Threshold, dims: tuple[int, ...]) -> Tensor:
    r"""Soft-threshold the norms of groups of values; small groups become zero as a whole.

    .. math:: y = x\,\max(1 - \tau / \lVert x \rVert, 0)

    Parameters
    ----------
    x : Tensor of any shape, floating point
    threshold : float or Tensor
        Non-negative, in the units of ``x``; broadcasts against the norms, which keep ``dims`` as
        axes of length one.
    dims : tuple of int
        Axes of a group.

    Returns
    -------
    Tensor of the shape of ``x``

    Raises
    ------
    TypeError
        If ``x`` is not a floating-point tensor.
    ValueError
        If ``threshold`` is a negative number.

    References
    ----------
    M. Yuan, Y. Lin, "Model selection and estimation in regression with grouped variables", J. Royal
    Statistical Society B 68(1), 2006, :doi:`10.1111/j.1467-9868.2005.00532.x`.

    Examples
    --------
    >>> import torch
    >>> group_soft_threshold(torch.tensor([[3.0, 4.0], [0.6, 0.8]]), 2.0, (1,))
    tensor([[1.8000, 2.4000],
            [0.0000, 0.0000]])
    """
    x, threshold = _check(x, threshold)
    norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True)
    divisor = torch.where(norm > 0, norm, 1.0)
    return x * (soft_threshold(norm, threshold) / divisor)


def mean_magnitude(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    r"""Mean of ``|x|`` over ``dims``, which stay as axes of length one.

    The statistic that a threshold is a share of: :math:`\tau = \alpha \cdot \overline{|x|}`
    (Zhao et al. 2020, equations 12 and 14).

    Parameters
    ----------
    x : Tensor
    dims : tuple of int
        Axes to average over: ``(1, 2)`` gives one value per sample of a series, ``(2,)`` one per
        sample and channel.

    Returns
    -------
    Tensor

    Raises
    ------
    ValueError
        If ``dims`` is empty.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[[1.0, -3.0], [0.0, 2.0]]])
    >>> mean_magnitude(x, (2,)).flatten(), mean_magnitude(x, (1, 2)).flatten()
    (tensor([2., 1.]), tensor([1.5000]))
    """
    if not dims:
        raise ValueError("expected dims to name at least one axis, got ()")
    # Not mean(): the gradient of a sum needs no memory, and its consumer keeps its own layout.
    # A list of sizes, since torch compiles no generator. Not in float16, where sums overflow.
    wide = torch.promote_types(x.dtype, torch.float32)
    total = x.abs().sum(dims, keepdim=True, dtype=wide)
    return (total / math.prod([x.shape[dim] for dim in dims])).to(x.dtype)


class _SoftThreshold(torch.autograd.Function):
    """Soft thresholding with a backward of two fused passes instead of eight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor) -> Tensor:
        # Two vectorised passes; clamp with a broadcast threshold is twice as slow.
        y = torch.minimum(x, threshold)
        torch.maximum(y, -threshold, out=y)
        torch.sub(x, y, out=y)
        ctx.save_for_backward(y)
        ctx.shapes = x.shape, threshold.shape
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None]:
        # y is zero exactly where |x| <= threshold and has the sign of x elsewhere.
        (y,) = ctx.saved_tensors
        shape, threshold_shape = ctx.shapes
        passed = torch.ops.aten.hardshrink_backward.default(gradient, y, 0.0)
        to_threshold = None
        if ctx.needs_input_grad[1]:
            # leaky_relu's derivative with slope -1 is a multiplication by sign(y) in one pass.
            signed = torch.ops.aten.leaky_relu_backward.default(passed, y, -1.0, False)
            to_threshold = signed.sum_to_size(threshold_shape).neg_()
        return passed.sum_to_size(shape), to_threshold


def _check(x: Tensor, threshold: Threshold) -> tuple[Tensor, Tensor]:
    """Refuse what is no number, and give the threshold the type and device of ``x``."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        raise TypeError(
            f"x must be a floating-point tensor, got {getattr(x, 'dtype', type(x).__name__)}"
        )
    if not isinstance(threshold, Tensor) and not threshold >= 0:
        raise ValueError(f"threshold must be non-negative, got {threshold!r}")
    return x, torch.as_tensor(threshold, dtype=x.dtype, device=x.device)
