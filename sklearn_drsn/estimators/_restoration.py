"""What the restorers of images share: fitting on patches, restoring in tiles, scores."""

from functools import partial
from numbers import Integral

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from sklearn_drsn.estimators._base import BaseNetworkEstimator
from sklearn_drsn.estimators._images import ImageLayout, rotate, rotations
from sklearn_drsn.estimators._patches import PatchNetwork, PatchSet, cut, even_tile, map_tiles
from sklearn_drsn.estimators._samples import resolve_device
from sklearn_drsn.estimators._training import Settings, make_network
from sklearn_drsn.metrics import psnr

__all__ = ["BaseRestorer"]

_FEWEST_PATCHES = 256  # of an epoch
_VALUES_PER_BLOCK = 2**13  # of a forward pass: blocks are filled up, which small images pay for
_LARGEST_OVERLAP = 64  # of tiles, in pixels: about what the deepest of the networks sees


class BaseRestorer(BaseNetworkEstimator):
    """Fit a network to pairs of degraded and clean images; a subclass says which degradation.

    It provides ``_network``, ``_criterion``, ``_architecture_asked_for``, and ``_degrade(rng,
    images)`` for a batch of patches ``(n, n_channels, height, width)`` or, where
    ``_degrades_whole_images``, ``_degrade_all`` alone.
    """

    _parameter_constraints = {
        **BaseNetworkEstimator._parameter_constraints,
        "channel_axis": [Integral, None],
        "patch_size": [Interval(Integral, 1, None, closed="left")],
        "tile_size": [Interval(Integral, 8, None, closed="left")],
        "self_ensemble": ["boolean"],
    }
    _degrades_whole_images = False
    _bounds_of_degraded = (0.0, 1.0)
    _scale = 1  # that was asked for
    _turns = rotations  # that leave degraded and clean images a pair

    @with_callbacks
    def fit(self, X, y=None):
        """Train the network from scratch, or further with `warm_start`.

        Parameters
        ----------
        X : ndarray of shape (n_images, height, width), with a channel axis for colour, or list \
                of images of different sizes
            Values in [0, 1]. Degraded images if `y` is given, else clean ones, which the estimator
            degrades by itself. Noisy images for :class:`DnCNNDenoiser` may lie in [-8, 9].
        y : like X, default=None
            Clean images.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If values lie out of range, images are smaller than a patch, those of a pair do not
            belong together, or a parameter is out of range; the message names the value.
        """
        with self._fitting(X, y) as train:
            self._check_parameters()
            goes_on = self.warm_start and hasattr(self, "net_")
            degraded, clean = self._read_training(X, y)
            if not goes_on:
                self._n_channels = len(clean[0])
            elif len(clean[0]) != self._n_channels:
                raise ValueError(
                    f"expected images of {self._n_channels} channels, as those before, got "
                    f"{len(clean[0])}"
                )
            seed = train.seed(goes_on, degraded=degraded, clean=clean)
            net = self._continued_net() if goes_on else self._new_net(seed)
            samples, validation = self._patch_sets(degraded, clean, seed)
            patience = self.n_iter_no_change if self.early_stopping else None
            train(net, samples, validation, patience=patience)
        return self

    def predict(self, X):
        """Restored images.

        Parameters
        ----------
        X : ndarray of shape (n_images, height, width) or (height, width), with a channel axis \
                for colour, or list of images
            Degraded images, with values in [0, 1], of :class:`DnCNNDenoiser` in [-8, 9]; a single
            one without the first axis.

        Returns
        -------
        ndarray or list
            In the form of `X`, in float64, values in [0, 1].

        Raises
        ------
        ValueError
            If values lie out of range or the images have other channels than those of `fit`.

        Notes
        -----
        Memory is needed for `X`, the result in eight bytes a value (0.4 GiB for 4000 x 4000 in
        colour, 1.5 GiB if that is made twice as large), one image of it once more if they are a
        stack of several, and the features of one tile; super-resolution of colour keeps one or two
        more of `X`.
        """
        check_is_fitted(self)
        self._check_parameters()
        layout = ImageLayout(self.channel_axis)
        images = layout.read(X, bounds=self._bounds_of_degraded, single=True)
        room = layout.make_room(images, X, self._fitted_scale)
        return layout.write(self._restore_all(images, room), X)

    def score(self, X, y=None):
        """Mean peak signal-to-noise ratio in decibels; greater is better.

        Parameters
        ----------
        X : ndarray or list of images
            Degraded images as `predict` takes them if `y` is given, else clean ones, which are
            degraded with a fixed seed.
        y : like X, default=None
            Clean images.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If images are none that `predict` takes, those of a pair do not belong together, or
            clean ones are too small to be degraded.

        Notes
        -----
        Without `y` the degradation is that of the parameters, but for a scale that was set after
        `fit`: settings of the degradation itself, such as a noise level or a scale, are to be
        compared on pairs, else the easiest one wins.
        """
        check_is_fitted(self)
        self._check_parameters()
        layout = ImageLayout(self.channel_axis)
        if y is None:
            clean = _cut_to_scale(layout.read(X), self._fitted_scale)
            degraded = self._degrade_all(clean, self._fitted_scale)
        else:
            clean = layout.read(y, name="y")
            degraded = layout.read(X, bounds=self._bounds_of_degraded)
        restored = self._restore_all(degraded, [None] * len(degraded))
        self._check_pairs(restored, clean, 1)
        pairs = zip(clean, restored, strict=True)
        ratios = [psnr(c[None], r[None], data_range=1.0)[0] for c, r in pairs]
        return float(np.mean(ratios))

    # --- training --------------------------------------------------------------------------------

    def _read_training(self, X, y):
        """Planes to learn from and to; the former are None where patches are degraded anew."""
        layout = ImageLayout(self.channel_axis)
        if y is not None:
            degraded = layout.read(X, bounds=self._bounds_of_degraded)
            clean = layout.read(y, name="y")
            self._check_pairs(degraded, clean, self._scale)
        else:
            clean, degraded = _cut_to_scale(layout.read(X), self._scale), None
            if self._degrades_whole_images:
                degraded = self._degrade_all(clean, self._scale)
        clean = [self._planes(image) for image in clean]
        if degraded is not None:
            degraded = [self._planes(image) for image in degraded]
        smallest = min(min(image.shape[1:]) for image in (degraded or clean))
        if smallest < self.patch_size:
            raise ValueError(
                f"degraded images must be at least as large as a patch, "
                f"patch_size={self.patch_size}, got one of {smallest} pixels"
            )
        return degraded, clean

    def _check_pairs(self, degraded, clean, scale):
        if len(degraded) != len(clean):
            raise ValueError(f"got {len(degraded)} images and {len(clean)} clean ones")
        for i, (x, y) in enumerate(zip(degraded, clean, strict=True)):
            expected = (len(x), *(scale * size for size in x.shape[1:]))
            if y.shape != expected:
                raise ValueError(
                    f"expected the clean image {i} to have shape {expected} (channels, height, "
                    f"width), got {y.shape}"
                )

    def _planes(self, image):
        """What the network sees of images ``(..., n_channels, height, width)``."""
        return image

    def _patch_sets(self, degraded, clean, seed):
        if not self.early_stopping:
            return self._patch_set(degraded, clean), None
        if len(clean) < 2:
            raise ValueError("early_stopping holds whole images out and needs at least 2, got 1")
        parts = train_test_split(
            np.arange(len(clean)), test_size=self.validation_fraction, random_state=seed
        )

        def take(images, part):
            return None if images is None else [images[i] for i in part]

        return [self._patch_set(take(degraded, part), take(clean, part)) for part in parts]

    def _patch_set(self, degraded, clean):
        size = (self.patch_size, self.patch_size)
        inputs, targets = (clean, None) if degraded is None else (degraded, clean)
        n_patches = sum(image[0].size for image in inputs) // (size[0] * size[1])
        return PatchSet(
            inputs,
            targets,
            size,
            max(_FEWEST_PATCHES, n_patches),
            partial(_prepare, self._degrade if targets is None else None, self._turns),
            resolve_device(self._settings["device"]),
            self._scale,
        )

    def _degrade_all(self, images, scale):
        """Images degraded one by one, with a fixed seed; made smaller by ``scale`` if at all."""
        rng = np.random.default_rng(0)
        return [self._degrade(rng, image[None])[0] for image in images]

    def _make_net(self, weights=None):
        return make_network(
            Settings(**self._settings),
            lambda: self._network(**self._architecture),
            self._criterion,
            _patch_psnr,
            kind=PatchNetwork,
            callbacks=self.callbacks,
            verbose=self.verbose,
            weights=weights,
        )

    # --- restoring -------------------------------------------------------------------------------

    @property
    def _fitted_scale(self):
        return self._architecture.get("scale", 1)

    def _restore_all(self, images, restored):
        """Put images in their places, those of one size as many at a time as fill a block."""
        self._check_channels(images[0])
        kinds = [(image.shape, image.dtype) for image in images]
        for kind in dict.fromkeys(kinds):
            numbers = [i for i, other in enumerate(kinds) if other == kind]
            step = max(1, _VALUES_PER_BLOCK // images[numbers[0]][0].size)
            for start in range(0, len(numbers), step):
                self._restore_some(images, numbers[start : start + step], restored)
        return restored

    def _restore_some(self, images, numbers, restored):
        stack = [images[i] for i in numbers]
        # A stack of one is a view: large images are not copied.
        results = self._restore(np.stack(stack) if len(stack) > 1 else stack[0][None])
        for i, result in zip(numbers, results, strict=True):
            restored[i] = result

    def _check_channels(self, image):
        n_channels = len(self._planes(image[:, :1, :1]))
        if n_channels != self._n_channels:
            raise ValueError(
                f"expected images of {self._n_channels} channels, as in fit, got {n_channels} with "
                f"channel_axis={self.channel_axis}"
            )

    def _restore(self, images):
        """Images ``(n, n_channels, height, width)`` of one size."""
        images = self._run(images)
        return np.clip(images, 0.0, 1.0, out=images)

    def _run(self, images):
        """Output of the network, mean over all turns with ``self_ensemble``."""
        self.net_.module_.eval()  # while it trains, callbacks may ask
        module = self._module_for_prediction()

        def run(block):
            return self.net_.run_block(block.astype(np.float32), module)

        scale = self._fitted_scale
        *stack, height, width = images.shape
        total = np.zeros((*stack, scale * height, scale * width))
        turns = self._turns if self.self_ensemble else self._turns[:1]
        for turn in turns:
            turned = rotate(images, turn)
            tile, overlap = self._tiling(turned.shape[2:])
            map_tiles(
                run, turned, tile, overlap=overlap, scale=scale, n_values=_VALUES_PER_BLOCK,
                result=rotate(total, turn),
            )  # fmt: skip
        total /= len(turns)
        return total

    def _tiling(self, sizes):
        """Size of the tiles of an image, and what neighbours share."""
        overlap = min(self.tile_size // 4, _LARGEST_OVERLAP)
        multiple = getattr(self.net_.module_, "multiple", 1)
        return even_tile(sizes, self.tile_size, overlap, multiple), overlap

    def _module_for_prediction(self):
        """The trained module; a subclass may give a faster one that computes the same."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.positive_only = True
        return tags


def _cut_to_scale(images, scale):
    """Clean images without the last rows and columns, of which no degraded pixel is made."""
    for i, image in enumerate(images):
        if min(image.shape[1:]) < scale:
            raise ValueError(
                f"expected clean images of at least {scale=} pixels in height and width, got "
                f"{image.shape[1]} x {image.shape[2]} pixels in image {i} of X"
            )
    return [cut(image, (0, 0), [n - n % scale for n in image.shape[1:]]) for image in images]


def _prepare(degrade, turns, rng, inputs, targets):
    """Patches of a batch, each turned its own way: ``(degraded, (clean,))``."""
    if targets is None:
        inputs, targets = degrade(rng, inputs), inputs
    turns = rng.choice(turns, len(inputs))
    inputs = np.stack([rotate(patch, turn) for patch, turn in zip(inputs, turns, strict=True)])
    targets = np.stack([rotate(patch, turn) for patch, turn in zip(targets, turns, strict=True)])
    return inputs, (targets,)


def _patch_psnr(output, clean):
    errors = (output - clean).square().flatten(1).mean(1).clamp_min(1e-10)
    return float(-10 * errors.log10().mean())
