"""Fitted estimators as torch modules from arrays to predictions, scaling and tiles included.

Every module maps float64 to float64, as ``predict`` does; networks see float32.
"""

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.feature_selection import SelectorMixin
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from torch import Tensor, nn

from sklearn_drsn.degradations import upsample_bicubic
from sklearn_drsn.estimators import (
    CSSFNSuperResolver,
    DnCNNDenoiser,
    DRSNClassifier,
    DRSNRegressor,
    MACRDeblurrer,
    MSRNSuperResolver,
    SoftThresholdDenoiser,
)
from sklearn_drsn.estimators._restoration import _LARGEST_OVERLAP
from sklearn_drsn.estimators._restorers import _to_rgb, _to_ycbcr
from sklearn_drsn.estimators._scaling import FARTHEST
from sklearn_drsn.estimators._views import rotated

__all__ = ["make_module"]


def make_module(estimator):
    """Module that computes what a fitted estimator, on the CPU, predicts or transforms.

    Raises
    ------
    TypeError
        If the estimator is none that can be exported; the message lists those.
    """
    for kinds, make in _MODULES.items():
        if isinstance(estimator, kinds):
            return make(estimator).eval()
    names = ", ".join(sorted(kind.__name__ for kinds in _MODULES for kind in kinds))
    raise TypeError(f"{type(estimator).__name__} cannot be exported to ONNX, only {names} can")


# --- steps of scikit-learn -----------------------------------------------------------------------


class _Affine(nn.Module):
    """``(x - shift) / scale``, kept within bounds."""

    def __init__(self, shift, scale, bounds=None):
        super().__init__()
        self.shift, self.scale = _constant(shift), _constant(scale)
        self.bounds = bounds

    def forward(self, X: Tensor) -> Tensor:
        X = (X - self.shift) / self.scale
        return X if self.bounds is None else X.clamp(*self.bounds)


class _Projection(nn.Module):
    def __init__(self, pca):
        super().__init__()
        components = pca.components_
        if pca.whiten:
            deviations = np.sqrt(pca.explained_variance_)
            deviations = np.maximum(deviations, np.finfo(deviations.dtype).eps)
            components = components / deviations[:, None]
        self.mean, self.components = _constant(pca.mean_), _constant(components.T)

    def forward(self, X: Tensor) -> Tensor:
        return (X - self.mean) @ self.components


class _Selection(nn.Module):
    def __init__(self, selector):
        super().__init__()
        self.columns = torch.from_numpy(selector.get_support(indices=True).astype(np.int64))

    def forward(self, X: Tensor) -> Tensor:
        return X.index_select(1, self.columns)


def _constant(values):
    """Buffers would do as well; plain attributes are exported as constants too."""
    return torch.tensor(np.asarray(values, np.float64))


def _standard_scaler(scaler):
    return _Affine(
        scaler.mean_ if scaler.with_mean else 0.0, scaler.scale_ if scaler.with_std else 1.0
    )


def _robust_scaler(scaler):
    return _Affine(
        scaler.center_ if scaler.with_centering else 0.0,
        scaler.scale_ if scaler.with_scaling else 1.0,
    )


def _min_max_scaler(scaler):
    bounds = scaler.feature_range if scaler.clip else None
    return _Affine(-scaler.min_ / scaler.scale_, 1 / scaler.scale_, bounds)


def _max_abs_scaler(scaler):
    return _Affine(0.0, scaler.scale_, (-1.0, 1.0) if getattr(scaler, "clip", False) else None)


# --- classifier and regressor --------------------------------------------------------------------


class _Outputs(nn.Module):
    """Scaled samples through a network that gives a row for each."""

    def __init__(self, estimator):
        super().__init__()
        self.network = estimator.net_.module_
        self.shape = None if estimator.input_shape is None else estimator.input_shape_
        self.scale = _InputScaling(estimator._input_scaler, len(estimator.input_shape_))
        self.views = estimator._views

    def forward(self, X: Tensor) -> Tensor:
        if self.shape is not None:
            X = X.reshape(-1, *self.shape)
        X = self.scale(X).float()
        views = torch.cat([rotated(X, view) for view in self.views])
        outputs = self.network(views).double()
        return outputs.reshape(len(self.views), -1, outputs.shape[1]).mean(0)


class _InputScaling(nn.Module):
    def __init__(self, scaler, n_axes):
        super().__init__()
        self.mode, self.axes = scaler.mode, tuple(range(2, 1 + n_axes))
        if self.mode == "channel":
            shape = (-1,) + (1,) * len(self.axes)
            self.centre, self.reach, self.mean, self.deviation = (
                _constant(values).reshape(shape)
                for values in (scaler.centre_, scaler.reach_, scaler.mean_, scaler.scale_)
            )

    def forward(self, X: Tensor) -> Tensor:
        if self.mode is None:
            return X
        if self.mode == "channel":
            return (self._pulled_in(X) - self.mean) / self.deviation
        mean = X.mean(self.axes, keepdim=True)
        deviation = (X - mean).square().mean(self.axes, keepdim=True).sqrt()
        constant = deviation <= 10 * np.finfo(np.float64).eps * mean.abs()
        return (X - mean) / torch.where(constant, 1.0, deviation)

    def _pulled_in(self, X: Tensor) -> Tensor:
        ratio = ((X - self.centre) / self.reach).clip(-FARTHEST, FARTHEST)
        far = ratio.abs()
        if self.axes:
            far = ratio.square().mean(self.axes, keepdim=True).sqrt()
        far = far.clip(min=1.0)
        return torch.where(far > 1, self.centre + self.reach * ratio * ((2 - 1 / far) / far), X)


class _Classification(_Outputs):
    """Number of the most probable class, and all probabilities."""

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        outputs = super().forward(X)
        return outputs.argmax(1), torch.softmax(outputs, 1)


class _Regression(_Outputs):
    def __init__(self, regressor):
        super().__init__(regressor)
        scaler = regressor._target_scaler
        self.mean, self.deviation = _constant(scaler.mean_), _constant(scaler.scale_)
        self.target_shape = regressor._target_shape

    def forward(self, X: Tensor) -> Tensor:
        y = super().forward(X) * self.deviation + self.mean
        return y.reshape(-1, *self.target_shape)


# --- signals and images of any size --------------------------------------------------------------


def _even_tile(sizes, most, overlap, multiple):
    """See :func:`~sklearn_drsn.estimators._patches.even_tile`."""

    def along(size):
        n_tiles = 1 + (torch.sym_max(0, size - most) + most - overlap - 1) // (most - overlap)
        even = (size + (n_tiles - 1) * overlap + n_tiles - 1) // n_tiles
        return torch.sym_min(most, (even + multiple - 1) // multiple * multiple)

    return tuple(map(along, sizes))


def _map_tiles(function, X: Tensor, tile, overlap, scale=1) -> Tensor:
    """What :func:`~sklearn_drsn.estimators._patches.map_tiles` does, for sizes not yet known."""
    n_axes = X.ndim - 2
    sizes = X.shape[2:]
    axes = [_spread(*pair, overlap, scale) for pair in zip(sizes, tile, strict=True)]
    for i, (starts, length, _) in enumerate(axes):
        index = (starts[:, None] + torch.arange(length)).flatten()
        shape = (*X.shape[: 2 + 2 * i], starts.shape[0], length, *X.shape[3 + 2 * i :])
        X = X.index_select(2 + 2 * i, index).reshape(shape)
    numbers = [2 + 2 * i for i in range(n_axes)]
    order = (0, *numbers, 1, *(number + 1 for number in numbers))
    X = X.permute(order)
    counts = X.shape[: 1 + n_axes]
    Y = function(X.reshape(-1, *X.shape[1 + n_axes :]))
    Y = Y.reshape(*counts, *Y.shape[1:]).permute(tuple(np.argsort(order)))
    for i in reversed(range(n_axes)):
        starts, length, weights = axes[i]
        index = (scale * starts[:, None] + torch.arange(scale * length)).flatten()
        Y = Y * weights.reshape(*weights.shape, *(1,) * (Y.ndim - 4 - 2 * i))
        Y = Y.flatten(2 + 2 * i, 3 + 2 * i)
        whole = Y.new_zeros((*Y.shape[: 2 + 2 * i], scale * sizes[i], *Y.shape[3 + 2 * i :]))
        Y = whole.index_add(2 + 2 * i, index, Y)
    return Y


def _spread(size, tile, overlap, scale):
    """Starts of tiles along an axis, their length, their weights ``(n_tiles, scale * length)``."""
    tile = torch.sym_min(tile, size)
    step = torch.sym_max(1, tile - overlap)
    n_steps = (size - tile + step - 1) // step  # ONNX rounds a negative quotient otherwise
    room = torch.scalar_tensor(size - tile, dtype=torch.float64)
    starts = torch.arange(n_steps + 1) * (room / torch.sym_max(1, n_steps))
    starts = starts.round().long()
    place = torch.arange(scale * tile, dtype=torch.float64)
    fade = (1 + torch.minimum(place, place.flip(0))) / (scale * overlap + 1)
    fade = fade.clamp(max=1.0).expand(starts.shape[0], -1)
    index = scale * starts[:, None] + torch.arange(scale * tile)
    total = fade.new_zeros(scale * size).index_add(0, index.flatten(), fade.flatten())
    return starts, tile, fade / total[index]


class _Denoising(nn.Module):
    def __init__(self, denoiser):
        super().__init__()
        self.network = denoiser.net_.module_
        scaler = denoiser._scale
        self.centre = _constant(scaler.centre)
        self.lowest, self.highest = _constant(scaler.lowest), _constant(scaler.highest)
        self.error, self.is_tempered = _constant(denoiser._error), denoiser._error.any()
        self.is_flat, self.is_blind = denoiser._n_dims == 2, denoiser._is_blind
        length = denoiser.tile_length
        self.tile = denoiser._window if length is None else (length,) * denoiser._dim

    def forward(self, X: Tensor) -> Tensor:
        X = X[:, None] if self.is_flat else X
        X = _map_tiles(self._denoise, X, self.tile, min(self.tile) // 4)
        return X[:, 0] if self.is_flat else X

    def _denoise(self, X: Tensor) -> Tensor:
        axes = tuple(range(2, X.ndim))
        mean = X.mean(axes, keepdim=True)
        std = (X - mean).square().mean(axes, keepdim=True).sqrt()
        std = torch.where(std <= 1e-12 * mean.abs(), 1.0, std)
        offset = ((mean - self.centre) / std).clamp(self.lowest, self.highest)
        scaled = (X - mean) / std + offset
        output = self._run_hidden(scaled) if self.is_blind else self._run(scaled)
        output = self._temper(scaled, output) if self.is_tempered else output
        varies = X.amax(axes, keepdim=True) > X.amin(axes, keepdim=True)
        return torch.where(varies, mean - std * offset + std * output, X)

    def _temper(self, noisy: Tensor, denoised: Tensor) -> Tensor:
        """See :func:`~sklearn_drsn.estimators._denoising.temper`."""
        removed = noisy - denoised
        power = removed.square().mean(tuple(range(2, noisy.ndim)), keepdim=True)
        share = 1.0 - self.error / power.clamp(min=1e-30)
        return noisy - share.clamp(min=0.0) * removed

    def _run(self, X: Tensor) -> Tensor:
        return self.network(X.float()).double()

    def _run_hidden(self, X: Tensor) -> Tensor:
        """See :func:`~sklearn_drsn.estimators._denoising.hide`."""
        axes = range(2, X.ndim)
        period = 4 if X.ndim == 3 else 5
        place, neighbours = torch.zeros((), dtype=torch.int64), torch.zeros_like(X)
        for axis in axes:
            size = X.shape[axis]
            along = torch.arange(size)
            place = place.unsqueeze(-1) + (axis - 1) * along
            before, after = (along - 1).abs(), size - 1 - (size - 2 - along).abs()
            neighbours += X.index_select(axis, before) + X.index_select(axis, after)
        neighbours /= 2 * len(axes)
        result = X
        for offset in range(period):
            hidden = place % period == offset
            output = self._run(torch.where(hidden, neighbours, X))
            result = torch.where(hidden, output, result)
        return result


class _Restoration(nn.Module):
    def __init__(self, restorer):
        super().__init__()
        module = restorer._module_for_prediction()
        self.network = restorer.net_.module_ if module is None else module
        self.channel_axis = restorer.channel_axis
        self.turns = list(restorer._turns if restorer.self_ensemble else restorer._turns[:1])
        self.tile, self.scale = restorer.tile_size, restorer._fitted_scale
        self.multiple = getattr(self.network, "multiple", 1)

    def forward(self, X: Tensor) -> Tensor:
        axis = self.channel_axis
        axis = axis + 1 if axis is not None and axis >= 0 else axis  # of the stack
        images = self._restore(X[:, None] if axis is None else X.movedim(axis, 1))
        return images[:, 0] if axis is None else images.movedim(1, axis)

    def _restore(self, images: Tensor) -> Tensor:
        total = sum(_turn_back(self._run(_turn(images, turn)), turn) for turn in self.turns)
        return (total / len(self.turns)).clamp(0.0, 1.0)

    def _run(self, images: Tensor) -> Tensor:
        overlap = min(self.tile // 4, _LARGEST_OVERLAP)
        return _map_tiles(
            lambda block: self.network(block.float()).double(),
            images,
            _even_tile(images.shape[2:], self.tile, overlap, self.multiple),
            overlap,
            self.scale,
        )


class _ColourSuperResolution(_Restoration):
    """The luminance through the network, the colour differences enlarged bicubically."""

    def __init__(self, resolver):
        super().__init__(resolver)
        self.split, self.join = _affine(_to_ycbcr), _affine(_to_rgb)
        self.kernel = _bicubic_kernel(self.scale, resolver._is_centred)

    def _restore(self, images: Tensor) -> Tensor:
        ycbcr = _mix(images, *self.split)
        luminance = super()._restore(ycbcr[:, :1])
        return _mix(torch.cat([luminance, self._enlarge(ycbcr[:, 1:])], 1), *self.join).clamp(0, 1)

    def _enlarge(self, planes: Tensor) -> Tensor:
        """See :func:`~sklearn_drsn.degradations.upsample_bicubic`."""
        for axis in (-2, -1):  # two more rows and columns on each side, mirrored
            size = planes.shape[axis]
            first = planes.narrow(axis, 0, 2).flip(axis)
            planes = torch.cat([first, planes, planes.narrow(axis, size - 2, 2).flip(axis)], axis)
        kernel = self.kernel.expand(planes.shape[1], -1, -1, -1)
        large = nn.functional.conv_transpose2d(
            planes.float(), kernel, stride=self.scale, groups=planes.shape[1]
        ).double()
        beyond = 4 * self.scale  # what the mirrored pixels, and the kernel itself, add
        return large[..., beyond:-beyond, beyond:-beyond].clamp(0.0, 1.0)


def _bicubic_kernel(scale, centred):
    """What one pixel contributes to its neighbourhood, ``(1, 1, 5 * scale, 5 * scale)``."""
    pixel = np.full((7, 7), 0.5)  # what undershoots zero would be cut off
    pixel[3, 3] += 0.25
    response = (upsample_bicubic(pixel, scale, centred=centred) - 0.5) / 0.25
    return torch.tensor(response[scale:-scale, scale:-scale], dtype=torch.float32)[None, None]


def _affine(change):
    """Matrix and offset of an affine change of the three colours of a pixel."""
    colours = np.vstack([np.full(3, 0.5), 0.5 + 0.125 * np.eye(3)])  # where nothing is cut off
    offset, *moved = change(colours.T[:, :, None])[..., 0].T
    matrix = (np.array(moved) - offset).T / 0.125
    return _constant(matrix), _constant(offset - matrix @ colours[0])


def _mix(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    return (images.movedim(1, -1) @ matrix.T + offset).movedim(-1, 1)


def _turn(images, number):
    """See :func:`~sklearn_drsn.estimators._images.rotate`."""
    return torch.rot90(images.mT if number >= 4 else images, number % 4, (-2, -1))


def _turn_back(images, number):
    images = torch.rot90(images, -(number % 4), (-2, -1))
    return images.mT if number >= 4 else images


def _super_resolution(resolver):
    return (_Restoration if resolver.channel_axis is None else _ColourSuperResolution)(resolver)


_MODULES = {
    (DRSNClassifier,): _Classification,
    (DRSNRegressor,): _Regression,
    (SoftThresholdDenoiser,): _Denoising,
    (DnCNNDenoiser, MACRDeblurrer): _Restoration,
    (MSRNSuperResolver, CSSFNSuperResolver): _super_resolution,
    (StandardScaler,): _standard_scaler,
    (RobustScaler,): _robust_scaler,
    (MinMaxScaler,): _min_max_scaler,
    (MaxAbsScaler,): _max_abs_scaler,
    (PCA,): _Projection,
    (SelectorMixin,): _Selection,
}
