"""Restoration of images: denoising, deblurring and super-resolution, one paper an estimator."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_drsn.degradations import (
    blur,
    downsample_bicubic,
    jpeg,
    motion_blur_kernel,
    truncate_kspace,
    upsample_bicubic,
)
from sklearn_drsn.estimators._images import NOISY
from sklearn_drsn.estimators._restoration import BaseRestorer
from sklearn_drsn.estimators._weights import read_dncnn_layers
from sklearn_drsn.losses import AbsoluteError, SquaredErrorSum, StructuralLoss
from sklearn_drsn.networks import CSSFN, MACR, MSRN, DnCNN

__all__ = ["CSSFNSuperResolver", "DnCNNDenoiser", "MACRDeblurrer", "MSRNSuperResolver"]

_ROWS = 256  # whose colours are changed at a time: the way there takes several times their memory
_TASKS = ("noise", "super_resolution", "jpeg")


class DnCNNDenoiser(BaseRestorer):
    """Denoise images by the residual network DnCNN.

    A convolutional network predicts the noise and subtracts it. Images are grey or colour, in a
    stack, a list of different sizes or, to predict, alone; values lie in [0, 1], those of noisy
    images in [-8, 9]: noise is not cut off. For prediction batch norms are folded into the
    convolutions.

    Parameters
    ----------
    depth : int, default=17
        Number of convolutions, at least 2; 20 in the paper's blind network.
    width : int, default=64
        Channels of all hidden features.
    sigma : float or tuple of two floats, default=25/255
        Standard deviation of the noise, in units of the values; a pair is a range to draw from,
        for every patch, which makes the network blind.
    tasks : tuple of {"noise", "super_resolution", "jpeg"}, default=("noise",)
        What `fit` without degraded images does to patches, one of these to each: adds Gaussian
        noise, takes detail away by bicubic down- and up-sampling by 2, 3 or 4, or compresses with
        a JPEG quality of 5 to 99.
    residual : bool, default=True
        Predict the noise; False predicts the clean image.
    batch_norm : bool, default=True
        Batch norm after all convolutions but the first and the last.
    channel_axis : int or None, default=None
        Axis of the channels in a single image; None for grey images.
    patch_size : int, default=40
        Side of the training patches.
    tile_size : int, default=512
        Largest side of the tiles that cover an image evenly, in which it is restored; neighbours
        share a quarter of it, but no more than 64 pixels.
    self_ensemble : bool, default=False
        Restore all eight rotations and reflections of an image and take their mean: a little
        better, eight times slower.
    optimizer : {"adamw", "adam", "sgd", "nadam"} or torch optimizer class, default="adamw"
        "sgd" has momentum 0.9.
    lr : float, default=0.003
        Learning rate; the peak of "one_cycle".
    lr_schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle" rises over 30 % of the steps, falls along a cosine and stays near zero for the
        last tenth; "step" takes lr, lr/10 and lr/100 for 40, 40 and 20 % of the epochs.
    weight_decay : float, default=0.0001
        Of the weights of convolutions.
    max_epochs : int, default=50
        Passes over the training set, as many patches as cover it but no fewer than 256.
    batch_size : int, default=16
        Patches per step, at least 2.
    early_stopping : bool, default=False
        Hold out a part of the images, stop when their PSNR no longer improves and restore the
        weights of the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Share of the images held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without a better validation PSNR after which `early_stopping` stops.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1". One that
        the machine lacks is an error.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" computes the network under autocast.
    compile : bool, default=False
        Run the network through ``torch.compile``; worth it for long fits only.
    callbacks : list of skorch callbacks or None, default=None
        Called by ``net_`` while it trains; those that make the net predict, as EpochScoring does,
        are not supported. scikit-learn's callbacks go through ``set_callbacks``.
    warm_start : bool, default=False
        Let the next `fit` keep weights and optimizer state and train `max_epochs` more.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if missing, in which `fit` keeps its state after epochs. One that was killed
        or interrupted goes on from there when it is called again with the same data and
        parameters; on the CPU it ends with the bits of an undisturbed one. With
        ``random_state=None`` it goes on with the seed that it began with. A fit that comes to its
        end removes its files. A folder that cannot be written to is an OSError, a disk that fills
        up later a warning. Callbacks begin anew, with a warning; code is known by its name only.
    verbose : int, default=0
        1 shows a bar on standard error, with loss, validation score and time left; 2 or more
        prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the patches, the degradation and the held-out part.

    Attributes
    ----------
    net_ : skorch net
        The trained net; ``net_.module_`` is the :class:`~sklearn_drsn.networks.DnCNN`.
    device_ : str
        Device of the network.
    n_iter_ : int
        Epochs trained.
    best_epoch_ : int
        Epoch of the best validation PSNR, or the last one without validation.
    history_ : list of dict
        Per epoch: epoch, train_loss, valid_loss, valid_score (PSNR in dB), lr, seconds.

    References
    ----------
    K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian Denoiser", IEEE Trans. Image
    Processing 26(7), 2017, :doi:`10.1109/TIP.2017.2662206`.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_drsn import DnCNNDenoiser
    >>> images = [image[:64, :96] / 255 for image in load_sample_images().images]
    >>> restorer = DnCNNDenoiser(
    ...     depth=3, width=8, channel_axis=-1, patch_size=32, max_epochs=1, random_state=0
    ... )
    >>> [image.shape for image in restorer.fit(images).predict(images)]
    [(64, 96, 3), (64, 96, 3)]
    """

    _parameter_constraints = {
        **BaseRestorer._parameter_constraints,
        "depth": [Interval(Integral, 2, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "sigma": [Interval(Real, 0, None, closed="left"), tuple, list],
        "tasks": [tuple, list],
        "residual": ["boolean"],
        "batch_norm": ["boolean"],
    }
    _network = DnCNN
    _criterion = SquaredErrorSum
    _bounds_of_degraded = NOISY

    def __init__(
        self,
        depth=17,
        width=64,
        *,
        sigma=25 / 255,
        tasks=("noise",),
        residual=True,
        batch_norm=True,
        channel_axis=None,
        patch_size=40,
        tile_size=512,
        self_ensemble=False,
        optimizer="adamw",
        lr=0.003,
        lr_schedule="one_cycle",
        weight_decay=0.0001,
        max_epochs=50,
        batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        precision="float32",
        compile=False,
        callbacks=None,
        warm_start=False,
        checkpoint_dir=None,
        verbose=0,
        random_state=None,
    ):
        self.depth = depth
        self.width = width
        self.sigma = sigma
        self.tasks = tasks
        self.residual = residual
        self.batch_norm = batch_norm
        self.channel_axis = channel_axis
        self.patch_size = patch_size
        self.tile_size = tile_size
        self.self_ensemble = self_ensemble
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.verbose = verbose
        self.random_state = random_state

    @classmethod
    def from_weights(cls, path, **parameters):
        """Denoiser with published weights, ready to predict.

        Reads the authors' files: MatConvNet (``.mat`` version 7.3, with h5py) and PyTorch state
        dicts with batch norm merged (keys ``model.0.weight``, ``model.0.bias``,
        ``model.2.weight`` ...). Nothing in a file is executed.

        Parameters
        ----------
        path : str or path-like
        **parameters
            Of the estimator, besides ``depth``, ``width`` and ``batch_norm``, which the file sets.

        Returns
        -------
        DnCNNDenoiser

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ImportError
            If the file is a ``.mat`` and h5py is missing.
        ValueError
            If the file is damaged or of another layout.
        """
        layers = read_dncnn_layers(path)
        try:
            network = DnCNN.from_layers(layers)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path} holds no DnCNN: {error}") from error
        width, n_channels = network.model[0].weight.shape[:2]
        self = cls(len(layers), width, batch_norm=False, **parameters)
        self._check_parameters()
        self._n_channels = n_channels
        net = self._new_net(self._draw_seed())
        net.module_.load_state_dict(network.state_dict())
        vars(self).update(self._attributes_of(net))
        return self

    def _check_parameters(self):
        super()._check_parameters()
        if not self.tasks or not all(task in _TASKS for task in self.tasks):
            raise ValueError(f"tasks takes some of {_TASKS}, got {self.tasks!r}")
        _check_range("sigma", self.sigma, 0, 1)

    def _architecture_asked_for(self):
        return {
            "depth": self.depth,
            "width": self.width,
            "n_channels": self._n_channels,
            "residual": self.residual,
            "batch_norm": self.batch_norm,
        }

    def _degrade(self, rng, images):
        tasks = rng.choice(list(self.tasks), len(images))
        return np.stack(
            [self._degrade_one(rng, task, image) for task, image in zip(tasks, images, strict=True)]
        )

    def _degrade_one(self, rng, task, image):
        if task == "noise":
            sigma = rng.uniform(*np.broadcast_to(self.sigma, 2))
            return image + sigma * rng.standard_normal(image.shape)
        if task == "jpeg":
            colour = 0 if len(image) == 3 else None
            return jpeg(image, int(rng.integers(5, 99, endpoint=True)), channel_axis=colour)
        scale = int(rng.integers(2, 4, endpoint=True))
        height, width = image.shape[1:]
        padded = np.pad(image, ((0, 0), (0, -height % scale), (0, -width % scale)), "symmetric")
        return upsample_bicubic(downsample_bicubic(padded, scale), scale)[:, :height, :width]

    def _module_for_prediction(self):
        return self.net_.module_.fold_batch_norm() if self._architecture["batch_norm"] else None


class MACRDeblurrer(BaseRestorer):
    """Remove motion blur by the multi-scale network MACR.

    Images are grey or colour, in a stack, a list of different sizes or, to predict, alone; values
    lie in [0, 1].

    Parameters
    ----------
    n_scales : int, default=3
        Number of sizes of the image, from coarse to fine, each half of the next.
    n_blocks : int, default=6
        Number of alternately connected residual blocks.
    width : int, default=64
        Channels of all features, a multiple of 4.
    blur_length : float or tuple of two floats, default=(3, 15)
        Length in pixels of the motion by which `fit` without degraded images blurs patches, in
        a random direction; a pair is a range to draw from.
    channel_axis : int or None, default=None
        Axis of the channels in a single image; None for grey images.
    patch_size : int, default=64
        Side of the training patches.
    tile_size : int, default=512
        Largest side of the tiles that cover an image evenly, in which it is restored; neighbours
        share a quarter of it, but no more than 64 pixels.
    self_ensemble : bool, default=False
        Restore all eight rotations and reflections of an image and take their mean: a little
        better, eight times slower.
    optimizer : {"adamw", "adam", "sgd", "nadam"} or torch optimizer class, default="adamw"
        "sgd" has momentum 0.9.
    lr : float, default=0.001
        Learning rate; the peak of "one_cycle".
    lr_schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle" rises over 30 % of the steps, falls along a cosine and stays near zero for the
        last tenth; "step" takes lr, lr/10 and lr/100 for 40, 40 and 20 % of the epochs.
    weight_decay : float, default=0.0001
        Of the weights of convolutions.
    max_epochs : int, default=50
        Passes over the training set, as many patches as cover it but no fewer than 256.
    batch_size : int, default=16
        Patches per step, at least 2.
    early_stopping : bool, default=False
        Hold out a part of the images, stop when their PSNR no longer improves and restore the
        weights of the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Share of the images held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without a better validation PSNR after which `early_stopping` stops.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1". One that
        the machine lacks is an error.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" computes the network under autocast.
    compile : bool, default=False
        Run the network through ``torch.compile``; worth it for long fits only.
    callbacks : list of skorch callbacks or None, default=None
        Called by ``net_`` while it trains; those that make the net predict, as EpochScoring does,
        are not supported. scikit-learn's callbacks go through ``set_callbacks``.
    warm_start : bool, default=False
        Let the next `fit` keep weights and optimizer state and train `max_epochs` more.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if missing, in which `fit` keeps its state after epochs. One that was killed
        or interrupted goes on from there when it is called again with the same data and
        parameters; on the CPU it ends with the bits of an undisturbed one. With
        ``random_state=None`` it goes on with the seed that it began with. A fit that comes to its
        end removes its files. A folder that cannot be written to is an OSError, a disk that fills
        up later a warning. Callbacks begin anew, with a warning; code is known by its name only.
    verbose : int, default=0
        1 shows a bar on standard error, with loss, validation score and time left; 2 or more
        prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the patches, the degradation and the held-out part.

    Attributes
    ----------
    net_ : skorch net
        The trained net; ``net_.module_`` is the :class:`~sklearn_drsn.networks.MACR`.
    device_ : str
        Device of the network.
    n_iter_ : int
        Epochs trained.
    best_epoch_ : int
        Epoch of the best validation PSNR, or the last one without validation.
    history_ : list of dict
        Per epoch: epoch, train_loss, valid_loss, valid_score (PSNR in dB), lr, seconds.

    References
    ----------
    Q. Chen, Q. Hu, J. Li, Optics and Precision Engineering 29(7), 2021,
    :doi:`10.37188/OPE.20212907.1686`.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_drsn import MACRDeblurrer
    >>> images = [image[:64, :96] / 255 for image in load_sample_images().images]
    >>> restorer = MACRDeblurrer(
    ...     n_scales=2, n_blocks=1, width=8, channel_axis=-1, patch_size=32, max_epochs=1,
    ...     random_state=0,
    ... )
    >>> [image.shape for image in restorer.fit(images).predict(images)]
    [(64, 96, 3), (64, 96, 3)]
    """

    _parameter_constraints = {
        **BaseRestorer._parameter_constraints,
        "n_scales": [Interval(Integral, 1, None, closed="left")],
        "n_blocks": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 4, None, closed="left")],
        "blur_length": [Interval(Real, 1, None, closed="left"), tuple, list],
        "patch_size": [Interval(Integral, 11, None, closed="left")],  # the window of SSIM
    }
    _network = MACR
    _criterion = StructuralLoss

    def __init__(
        self,
        n_scales=3,
        n_blocks=6,
        width=64,
        *,
        blur_length=(3.0, 15.0),
        channel_axis=None,
        patch_size=64,
        tile_size=512,
        self_ensemble=False,
        optimizer="adamw",
        lr=0.001,
        lr_schedule="one_cycle",
        weight_decay=0.0001,
        max_epochs=50,
        batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        precision="float32",
        compile=False,
        callbacks=None,
        warm_start=False,
        checkpoint_dir=None,
        verbose=0,
        random_state=None,
    ):
        self.n_scales = n_scales
        self.n_blocks = n_blocks
        self.width = width
        self.blur_length = blur_length
        self.channel_axis = channel_axis
        self.patch_size = patch_size
        self.tile_size = tile_size
        self.self_ensemble = self_ensemble
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.verbose = verbose
        self.random_state = random_state

    def _check_parameters(self):
        super()._check_parameters()
        _check_range("blur_length", self.blur_length, 1, np.inf)

    def _architecture_asked_for(self):
        return {
            "n_scales": self.n_scales,
            "n_channels": self._n_channels,
            "n_blocks": self.n_blocks,
            "width": self.width,
        }

    def _degrade(self, rng, images):
        low, high = np.broadcast_to(self.blur_length, 2)
        kernels = [motion_blur_kernel(rng.uniform(low, high), None, rng) for _ in images]
        return np.stack(
            [blur(image, kernel) for image, kernel in zip(images, kernels, strict=True)]
        )


def _check_range(name, value, least, most):
    ends = value if isinstance(value, tuple | list | np.ndarray) else (value,)
    numbers = all(isinstance(end, Real) and np.isfinite(end) for end in ends)
    if not numbers or len(ends) not in (1, 2) or not least <= ends[0] <= ends[-1] <= most:
        raise ValueError(
            f"{name} must be a number or a rising pair of them in [{least}, {most}], got {value!r}"
        )


class _SuperResolver(BaseRestorer):
    """Enlarge images; of colour images the luminance, by the network, and the rest bicubically.

    A subclass provides ``_shrink(image, scale)`` instead of ``_degrade``.
    """

    _criterion = AbsoluteError
    _degrades_whole_images = True
    _is_centred = True  # small pixels lie in the middle of those they stand for

    @property
    def _scale(self):
        return self.scale

    def _planes(self, image):
        return image if image.shape[-3] == 1 else _to_ycbcr(image)[..., :1, :, :]

    def _degrade_all(self, images, scale):
        return [self._shrink(image, scale) for image in images]

    def _restore(self, images):
        if images.shape[1] == 1:
            return super()._restore(images)
        ycbcr, scale = _to_ycbcr(images), self._fitted_scale
        n_images, n_planes, height, width = images.shape
        result = np.empty((n_images, n_planes, scale * height, scale * width))
        result[:, :1] = super()._restore(ycbcr[:, :1])
        for plane in (1, 2):
            colour = ycbcr[:, plane]
            result[:, plane] = upsample_bicubic(colour, scale, centred=self._is_centred)
        for rows in np.split(result, range(_ROWS, scale * height, _ROWS), axis=2):
            rows[...] = _to_rgb(rows)
        return result


def _to_ycbcr(image):
    """Luminance and colour differences in [0, 1], as in the papers on super-resolution."""
    if image.shape[-3] != 3:
        raise ValueError(f"expected images of 1 or 3 channels, got {image.shape[-3]}")
    return _skimage_color().rgb2ycbcr(image, channel_axis=-3) / 255


def _to_rgb(ycbcr):
    return np.clip(_skimage_color().ycbcr2rgb(255 * ycbcr, channel_axis=-3), 0.0, 1.0)


def _skimage_color():
    try:
        from skimage import color
    except ImportError as error:
        raise ImportError(
            "super-resolution of colour images needs scikit-image: pip install sklearn_drsn[image]"
        ) from error
    return color


class MSRNSuperResolver(_SuperResolver):
    """Enlarge images by the multi-scale residual network MSRN.

    Images are grey or colour, in a stack, a list of different sizes or, to predict, alone; values
    lie in [0, 1]. Of colour images the network enlarges the luminance (Y of YCbCr); the colour
    differences are enlarged bicubically. `fit` takes clean images, which it makes smaller by
    itself, or pairs of small and large ones.

    Parameters
    ----------
    scale : int, default=2
        How much higher and wider the result is, at least 2. Of clean images whose height or width
        is no multiple of it, `fit` and `score` without small ones cut off the rows at the bottom
        and the columns at the right that are left over.
    n_blocks : int, default=8
        Number of multi-scale residual blocks.
    width : int, default=64
        Channels of all features.
    attention : {None, "squeeze_excitation", "threshold"}, default=None
        What re-weights the features of each scale and the fused ones: nothing, as in the paper, a
        gate for each channel, or soft thresholds. Either looks at a whole tile, so that results
        depend on `tile_size`; one near `patch_size` is what was learnt with.
    global_skip : bool, default=True
        Learn what a bicubic enlargement lacks; the paper's network, False, learns the whole image
        and takes longer.
    channel_axis : int or None, default=None
        Axis of the channels in a single image; None for grey images.
    patch_size : int, default=48
        Side of the training patches, of the small images.
    tile_size : int, default=256
        Largest side of the tiles that cover an image evenly, in which it is restored; neighbours
        share a quarter of it, but no more than 64 pixels.
    self_ensemble : bool, default=False
        Restore all eight rotations and reflections of an image and take their mean: a little
        better, eight times slower.
    optimizer : {"adamw", "adam", "sgd", "nadam"} or torch optimizer class, default="adamw"
        "sgd" has momentum 0.9.
    lr : float, default=0.001
        Learning rate; the peak of "one_cycle".
    lr_schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle" rises over 30 % of the steps, falls along a cosine and stays near zero for the
        last tenth; "step" takes lr, lr/10 and lr/100 for 40, 40 and 20 % of the epochs.
    weight_decay : float, default=0.0001
        Of the weights of convolutions.
    max_epochs : int, default=50
        Passes over the training set, as many patches as cover it but no fewer than 256.
    batch_size : int, default=16
        Patches per step, at least 2.
    early_stopping : bool, default=False
        Hold out a part of the images, stop when their PSNR no longer improves and restore the
        weights of the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Share of the images held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without a better validation PSNR after which `early_stopping` stops.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1". One that
        the machine lacks is an error.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" computes the network under autocast.
    compile : bool, default=False
        Run the network through ``torch.compile``; worth it for long fits only.
    callbacks : list of skorch callbacks or None, default=None
        Called by ``net_`` while it trains; those that make the net predict, as EpochScoring does,
        are not supported. scikit-learn's callbacks go through ``set_callbacks``.
    warm_start : bool, default=False
        Let the next `fit` keep weights and optimizer state and train `max_epochs` more.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if missing, in which `fit` keeps its state after epochs. One that was killed
        or interrupted goes on from there when it is called again with the same data and
        parameters; on the CPU it ends with the bits of an undisturbed one. With
        ``random_state=None`` it goes on with the seed that it began with. A fit that comes to its
        end removes its files. A folder that cannot be written to is an OSError, a disk that fills
        up later a warning. Callbacks begin anew, with a warning; code is known by its name only.
    verbose : int, default=0
        1 shows a bar on standard error, with loss, validation score and time left; 2 or more
        prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the patches, the degradation and the held-out part.

    Attributes
    ----------
    net_ : skorch net
        The trained net; ``net_.module_`` is the :class:`~sklearn_drsn.networks.MSRN`.
    device_ : str
        Device of the network.
    n_iter_ : int
        Epochs trained.
    best_epoch_ : int
        Epoch of the best validation PSNR, or the last one without validation.
    history_ : list of dict
        Per epoch: epoch, train_loss, valid_loss, valid_score (PSNR in dB), lr, seconds.

    References
    ----------
    J. Li, F. Fang, K. Mei, G. Zhang, "Multi-scale Residual Network for Image Super-Resolution",
    ECCV 2018, :doi:`10.1007/978-3-030-01237-3_32`.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_drsn import MSRNSuperResolver
    >>> images = [image[:64, :96] / 255 for image in load_sample_images().images]
    >>> restorer = MSRNSuperResolver(
    ...     n_blocks=1, width=8, channel_axis=-1, patch_size=16, max_epochs=1, random_state=0
    ... )
    >>> [image.shape for image in restorer.fit(images).predict(images)]
    [(128, 192, 3), (128, 192, 3)]
    """

    _parameter_constraints = {
        **BaseRestorer._parameter_constraints,
        "scale": [Interval(Integral, 2, None, closed="left")],
        "n_blocks": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "attention": [StrOptions({"squeeze_excitation", "threshold"}), None],
        "global_skip": ["boolean"],
    }
    _network = MSRN

    def __init__(
        self,
        scale=2,
        n_blocks=8,
        width=64,
        *,
        attention=None,
        global_skip=True,
        channel_axis=None,
        patch_size=48,
        tile_size=256,
        self_ensemble=False,
        optimizer="adamw",
        lr=0.001,
        lr_schedule="one_cycle",
        weight_decay=0.0001,
        max_epochs=50,
        batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        precision="float32",
        compile=False,
        callbacks=None,
        warm_start=False,
        checkpoint_dir=None,
        verbose=0,
        random_state=None,
    ):
        self.scale = scale
        self.n_blocks = n_blocks
        self.width = width
        self.attention = attention
        self.global_skip = global_skip
        self.channel_axis = channel_axis
        self.patch_size = patch_size
        self.tile_size = tile_size
        self.self_ensemble = self_ensemble
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.verbose = verbose
        self.random_state = random_state

    def _architecture_asked_for(self):
        return {
            "scale": self.scale,
            "n_channels": self._n_channels,
            "n_blocks": self.n_blocks,
            "width": self.width,
            "attention": self.attention,
            "global_skip": self.global_skip,
        }

    def _shrink(self, image, scale):
        return downsample_bicubic(image, scale)


class CSSFNSuperResolver(_SuperResolver):
    """Enlarge images, of magnetic resonance above all, by a network after CSSFN.

    Features are split into groups of channels that are fused one after another. The sizes of the
    published network are not known: this one is after its description, no reproduction.

    Images are grey or colour, in a stack, a list of different sizes or, to predict, alone; values
    lie in [0, 1]. Of colour images the network enlarges the luminance (Y of YCbCr); the colour
    differences are enlarged bicubically. `fit` takes clean images, which it makes smaller by
    itself, or pairs of small and large ones.

    Parameters
    ----------
    scale : int, default=2
        How much higher and wider the result is, at least 2. Of clean images whose height or width
        is no multiple of it, `fit` and `score` without small ones cut off the rows at the bottom
        and the columns at the right that are left over.
    n_blocks : int, default=8
        Number of serial fusion blocks.
    width : int, default=64
        Channels of all features, a multiple of `n_groups`.
    n_groups : int, default=4
        Number of groups of channels.
    downsampling : {"bicubic", "kspace"}, default="bicubic"
        How `fit` without small images makes them: by antialiased bicubic interpolation or, as
        a short acquisition does, from the central block of the Fourier plane. It tells how given
        pairs were made, too: pixels of the latter lie off their middle, so that pairs must not be
        reflected and colour differences are enlarged from there.
    channel_axis : int or None, default=None
        Axis of the channels in a single image; None for grey images.
    patch_size : int, default=24
        Side of the training patches, of the small images.
    tile_size : int, default=256
        Largest side of the tiles that cover an image evenly, in which it is restored; neighbours
        share a quarter of it, but no more than 64 pixels.
    self_ensemble : bool, default=False
        Restore all eight rotations and reflections of an image and take their mean: a little
        better, eight times slower. With ``downsampling="kspace"`` two of them, the image and its
        transpose: twice as slow.
    optimizer : {"adamw", "adam", "sgd", "nadam"} or torch optimizer class, default="adamw"
        "sgd" has momentum 0.9.
    lr : float, default=0.001
        Learning rate; the peak of "one_cycle".
    lr_schedule : {"one_cycle", "step", "constant"}, default="one_cycle"
        "one_cycle" rises over 30 % of the steps, falls along a cosine and stays near zero for the
        last tenth; "step" takes lr, lr/10 and lr/100 for 40, 40 and 20 % of the epochs.
    weight_decay : float, default=0.0001
        Of the weights of convolutions.
    max_epochs : int, default=50
        Passes over the training set, as many patches as cover it but no fewer than 256.
    batch_size : int, default=16
        Patches per step, at least 2.
    early_stopping : bool, default=False
        Hold out a part of the images, stop when their PSNR no longer improves and restore the
        weights of the best epoch.
    validation_fraction : float in (0, 1), default=0.1
        Share of the images held out by `early_stopping`.
    n_iter_no_change : int, default=10
        Epochs without a better validation PSNR after which `early_stopping` stops.
    device : str, default="auto"
        "auto" takes CUDA, else MPS, else the CPU; or a torch device such as "cuda:1". One that
        the machine lacks is an error.
    precision : {"float32", "bfloat16"}, default="float32"
        "bfloat16" computes the network under autocast.
    compile : bool, default=False
        Run the network through ``torch.compile``; worth it for long fits only.
    callbacks : list of skorch callbacks or None, default=None
        Called by ``net_`` while it trains; those that make the net predict, as EpochScoring does,
        are not supported. scikit-learn's callbacks go through ``set_callbacks``.
    warm_start : bool, default=False
        Let the next `fit` keep weights and optimizer state and train `max_epochs` more.
    checkpoint_dir : str, path-like or None, default=None
        Folder, made if missing, in which `fit` keeps its state after epochs. One that was killed
        or interrupted goes on from there when it is called again with the same data and
        parameters; on the CPU it ends with the bits of an undisturbed one. With
        ``random_state=None`` it goes on with the seed that it began with. A fit that comes to its
        end removes its files. A folder that cannot be written to is an OSError, a disk that fills
        up later a warning. Callbacks begin anew, with a warning; code is known by its name only.
    verbose : int, default=0
        1 shows a bar on standard error, with loss, validation score and time left; 2 or more
        prints a line per epoch.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the patches, the degradation and the held-out part.

    Attributes
    ----------
    net_ : skorch net
        The trained net; ``net_.module_`` is the :class:`~sklearn_drsn.networks.CSSFN`.
    device_ : str
        Device of the network.
    n_iter_ : int
        Epochs trained.
    best_epoch_ : int
        Epoch of the best validation PSNR, or the last one without validation.
    history_ : list of dict
        Per epoch: epoch, train_loss, valid_loss, valid_score (PSNR in dB), lr, seconds.

    References
    ----------
    X. Zhao et al., Knowledge-Based Systems 246, 108669, 2022,
    :doi:`10.1016/j.knosys.2022.108669`; :arxiv:`1901.06484`.

    Examples
    --------
    >>> from sklearn.datasets import load_sample_images
    >>> from sklearn_drsn import CSSFNSuperResolver
    >>> images = [image[:64, :96] / 255 for image in load_sample_images().images]
    >>> restorer = CSSFNSuperResolver(
    ...     n_blocks=1, width=8, channel_axis=-1, patch_size=16, max_epochs=1, random_state=0
    ... )
    >>> [image.shape for image in restorer.fit(images).predict(images)]
    [(128, 192, 3), (128, 192, 3)]
    """

    _parameter_constraints = {
        **BaseRestorer._parameter_constraints,
        "scale": [Interval(Integral, 2, None, closed="left")],
        "n_blocks": [Interval(Integral, 1, None, closed="left")],
        "width": [Interval(Integral, 1, None, closed="left")],
        "n_groups": [Interval(Integral, 1, None, closed="left")],
        "downsampling": [StrOptions({"bicubic", "kspace"})],
    }
    _network = CSSFN

    def __init__(
        self,
        scale=2,
        n_blocks=8,
        width=64,
        n_groups=4,
        *,
        downsampling="bicubic",
        channel_axis=None,
        patch_size=24,
        tile_size=256,
        self_ensemble=False,
        optimizer="adamw",
        lr=0.001,
        lr_schedule="one_cycle",
        weight_decay=0.0001,
        max_epochs=50,
        batch_size=16,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        device="auto",
        precision="float32",
        compile=False,
        callbacks=None,
        warm_start=False,
        checkpoint_dir=None,
        verbose=0,
        random_state=None,
    ):
        self.scale = scale
        self.n_blocks = n_blocks
        self.width = width
        self.n_groups = n_groups
        self.downsampling = downsampling
        self.channel_axis = channel_axis
        self.patch_size = patch_size
        self.tile_size = tile_size
        self.self_ensemble = self_ensemble
        self.optimizer = optimizer
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.device = device
        self.precision = precision
        self.compile = compile
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.checkpoint_dir = checkpoint_dir
        self.verbose = verbose
        self.random_state = random_state

    def _architecture_asked_for(self):
        return {
            "scale": self.scale,
            "n_channels": self._n_channels,
            "n_blocks": self.n_blocks,
            "width": self.width,
            "n_groups": self.n_groups,
        }

    def _shrink(self, image, scale):
        shrink = downsample_bicubic if self.downsampling == "bicubic" else truncate_kspace
        return shrink(image, scale)

    @property
    def _is_centred(self):
        return self.downsampling == "bicubic"

    @property
    def _turns(self):
        # Pixels of a truncated Fourier plane lie off the middle of those they stand for, towards
        # the first row and column: reflections would have the network learn all four corners.
        return super()._turns if self._is_centred else (0, 4)
