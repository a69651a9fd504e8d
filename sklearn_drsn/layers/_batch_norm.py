"""Batch norm of series and images, quick for few channels too."""

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["BatchNorm1d", "BatchNorm2d"]

# torch's own kernel for channels-last memory takes fewer channels than these value by value.
_WIDE_ENOUGH = 8
_WORTH_IT = 2**15  # values
_LANES = 64
_NONE = (None,) * 5  # gradients of what is no weight


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm of images; on a processor narrow training batches go a quicker way."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(n, C, height, width)``."""
        running = self.running_mean, self.running_var, self.num_batches_tracked, self.momentum
        quick = self.training and _is_narrow(input) and input.dtype == self.weight.dtype
        if not quick or any(value is None for value in running):
            return super().forward(input)
        return _NarrowBatchNorm.apply(input, self.weight, self.bias, *running, self.eps)[0]


class BatchNorm1d(BatchNorm2d):
    """Batch norm of series, seen as images of height one, that keeps a channels-last layout."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(n, C, length)``, or ``(n, C, 1, length)``."""
        if input.ndim == 3:
            return super().forward(input.unsqueeze(2)).squeeze(2)
        return super().forward(input)


def _is_narrow(x: Tensor) -> bool:
    return (
        not (torch.compiler.is_compiling() or torch.jit.is_tracing())
        and x.ndim == 4
        and 1 < x.shape[1] < _WIDE_ENOUGH
        and x.numel() >= _WORTH_IT
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)  # in which sums do not overflow
        and x.movedim(1, -1).is_contiguous()
    )


class _NarrowBatchNorm(torch.autograd.Function):
    """Batch norm of channels-last memory as of a matrix whose rows hold many positions."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        n_batches: Tensor,
        momentum: float,
        eps: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = _rows(x)
        mean = _channel_means(values, x.shape[1])
        centred = values - _repeat(mean, values)
        variance = _channel_means(centred * centred, x.shape[1])
        scale = _repeat(weight * torch.rsqrt(variance + eps), values)
        output = torch.empty_like(x)  # not a view, which could not be changed in place
        torch.addcmul(_repeat(bias, values), centred, scale, out=_rows(output))
        count = x.numel() // x.shape[1]
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * (count / (count - 1)), momentum)
        n_batches.add_(1)
        return output, mean, variance

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, weight, *_, ctx.eps = inputs
        _, mean, variance = output
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.mark_non_differentiable(mean, variance)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, variance = ctx.saved_tensors
        rate = torch.rsqrt(variance + ctx.eps)
        if torch.is_grad_enabled():  # to be differentiated itself, as what follows cannot
            given = gradient, x, weight, None, None, mean, rate, True, ctx.eps
            needed = ctx.needs_input_grad[:3]
            return *torch.ops.aten.native_batch_norm_backward(*given, needed), *_NONE
        n_channels = x.shape[1]
        gradients, values = _rows(gradient), _rows(x)
        centred = values - _repeat(mean, values)
        of_bias = _channel_means(gradients, n_channels)
        of_weight = rate * _channel_means(gradients * centred, n_channels)
        slope = _repeat(-weight * rate * (rate * of_weight), values)
        offset = _repeat(-weight * rate * of_bias, values)
        output = torch.empty_like(x)
        torch.addcmul(offset, centred, slope, out=_rows(output))
        _rows(output).addcmul_(gradients, _repeat(weight * rate, values))
        count = x.numel() // n_channels
        return output, of_weight * count, of_bias * count, *_NONE


def _rows(x: Tensor) -> Tensor:
    """``(n, C, ...)`` as ``(rows, lanes)``: every row holds all channels of some positions."""
    n_channels = x.shape[1]
    n_positions = math.gcd(x.numel() // n_channels, _LANES // (1 << (n_channels - 1).bit_length()))
    return x.movedim(1, -1).reshape(-1, n_positions * n_channels)


def _channel_means(rows: Tensor, n_channels: int) -> Tensor:
    return rows.sum(0).view(-1, n_channels).sum(0) / (rows.numel() // n_channels)


def _repeat(channels: Tensor, rows: Tensor) -> Tensor:
    """A value per channel as one per lane."""
    return channels.repeat(rows.shape[1] // len(channels))
