"""Batch norm of series and images, quick for few channels too."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["BatchNorm1d", "BatchNorm2d"]

# torch's own kernel for channels-last memory takes fewer channels than these value by value.
_WIDE_ENOUGH = 8
_WORTH_IT = 2**15  # values
_LANES = 64


class BatchNorm2d(nn.BatchNorm2d):
    """Batch norm of images that trains narrow networks on a processor in a fifth of the time."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(n, C, height, width)``."""
        if not (self.training and _is_narrow(input) and input.dtype == self.weight.dtype):
            return super().forward(input)
        output, mean, variance = _NarrowBatchNorm.apply(input, self.weight, self.bias, self.eps)
        count = input.numel() // input.shape[1]
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        return output


class BatchNorm1d(BatchNorm2d):
    """Batch norm of series, seen as images of height one, that keeps a channels-last layout."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(n, C, length)``, or ``(n, C, 1, length)``."""
        if input.ndim == 3:
            return super().forward(input.unsqueeze(2)).squeeze(2)
        return super().forward(input)


def _is_narrow(x: Tensor) -> bool:
    return (
        1 < x.shape[1] < _WIDE_ENOUGH
        and x.numel() >= _WORTH_IT
        and x.device.type == "cpu"
        and x.movedim(1, -1).is_contiguous()
        and not torch.compiler.is_compiling()
    )


class _NarrowBatchNorm(torch.autograd.Function):
    """Batch norm of channels-last memory as of a matrix whose rows hold many positions."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        values = _rows(x)
        mean = _channel_means(values, x.shape[1])
        centred = values - _repeat(mean, values)
        variance = _channel_means(centred * centred, x.shape[1])
        rate = torch.rsqrt(variance + eps)
        ctx.save_for_backward(x, weight, mean, rate)
        ctx.mark_non_differentiable(mean, variance)
        scale = _repeat(weight * rate, values)
        output = torch.empty_like(x)  # not a view, which could not be changed in place
        torch.addcmul(_repeat(bias, values), centred, scale, out=_rows(output))
        return output, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, weight, mean, rate = ctx.saved_tensors
        n_channels = x.shape[1]
        gradients, values = _rows(gradient), _rows(x)
        centred = values - _repeat(mean, values)
        of_bias = _channel_means(gradients, n_channels)
        of_scale = _channel_means(gradients * centred, n_channels)
        slope = -_repeat(weight * rate.pow(3) * of_scale, values)
        offset = -_repeat(weight * rate * of_bias, values)
        output = torch.empty_like(x)
        torch.addcmul(offset, centred, slope, out=_rows(output))
        _rows(output).addcmul_(gradients, _repeat(weight * rate, values))
        count = x.numel() // n_channels
        return output, of_scale * rate * count, of_bias * count, None


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
