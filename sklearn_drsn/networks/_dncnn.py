"""The denoising convolutional network that predicts the noise."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.utils import fuse_conv_bn_weights

from sklearn_drsn.layers._dimensions import channels_last
from sklearn_drsn.networks._images import Correction, check_at_least, reset_parameters

__all__ = ["DnCNN"]


class DnCNN(nn.Module):
    """Plain convolutions with batch norm that predict the noise of an image.

    A convolution and ReLU, ``depth - 2`` times convolution, batch norm and ReLU, a convolution;
    all 3 x 3 without stride, so that a pixel sees ``depth`` pixels each way, ``2 * depth + 1``
    across. What they give is subtracted from the input: the output is the clean image.

    Parameters
    ----------
    depth : int, default=17
        Number of convolutions, at least 2. The paper takes 17 for one noise level (DnCNN-S), 20
        for a range of levels, several tasks or colour (DnCNN-B, DnCNN-3, CDnCNN-B).
    width : int, default=64
        Channels between the convolutions.
    n_channels : int, default=1
        Channels of the image: 1 for grey, 3 for colour.
    residual : bool, default=True
        Predict the noise; False predicts the clean image itself.
    batch_norm : bool, default=True
        False leaves batch norm out and gives the convolutions biases instead: also the form
        that :meth:`fold_batch_norm` returns and that the authors publish their weights in.

    Raises
    ------
    ValueError
        If ``depth`` is less than 2 or another size less than 1.

    See Also
    --------
    from_layers : A network from published kernels and biases.

    Notes
    -----
    Trainable parameters for grey images: 556,097 at the defaults, 555,137 with batch norm folded;
    667,073 and 665,921 for depth 20. In the folded form the state has the keys ``model.0.weight``,
    ``model.0.bias``, ``model.2.weight`` and so on, those of the published PyTorch weights.

    References
    ----------
    K. Zhang, W. Zuo, Y. Chen, D. Meng, L. Zhang, "Beyond a Gaussian Denoiser: Residual Learning of
    Deep CNN for Image Denoising", IEEE Trans. Image Processing 26(7), 2017, figure 1,
    :doi:`10.1109/TIP.2017.2662206`, :arxiv:`1608.03981`.

    Examples
    --------
    >>> import torch
    >>> net = DnCNN()
    >>> sum(p.numel() for p in net.parameters())
    556097
    >>> net(torch.rand(2, 1, 24, 31)).shape
    torch.Size([2, 1, 24, 31])
    """

    def __init__(
        self,
        depth: int = 17,
        width: int = 64,
        n_channels: int = 1,
        residual: bool = True,
        batch_norm: bool = True,
    ) -> None:
        check_at_least(2, depth=depth)
        check_at_least(1, width=width, n_channels=n_channels)
        super().__init__()
        self.residual = residual
        layers: list[nn.Module] = [nn.Conv2d(n_channels, width, 3, padding=1), nn.ReLU()]
        for _ in range(depth - 2):
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
        layers.append(Correction(width, n_channels, 3))
        self.model = nn.Sequential(*layers)
        self.reset_parameters()

    @classmethod
    def from_layers(
        cls, layers: Iterable[tuple[ArrayLike | Tensor, ArrayLike | Tensor]], residual: bool = True
    ) -> "DnCNN":
        """Network without batch norm that has the given weights.

        Parameters
        ----------
        layers : iterable of (kernel, bias)
            Floating-point arrays or tensors in the order of the convolutions: kernels of shape
            (n_outputs, n_inputs, 3, 3), biases of shape (n_outputs,). They are copied. Depth,
            width and channels are read off the shapes.
        residual : bool, default=True
            Whether the weights predict the noise.

        Returns
        -------
        DnCNN
            In evaluation mode, of the type and on the device of the weights.

        Raises
        ------
        TypeError
            If the numbers are not floating-point.
        ValueError
            If the shapes do not belong to one network; the message names the convolution.
        """
        weights = [(_copy(kernel), _copy(bias)) for kernel, bias in layers]
        width, n_channels = _read_sizes(weights)
        with torch.device("meta"):
            net = cls(len(weights), width, n_channels, residual=residual, batch_norm=False)
        state = {}
        for number, (kernel, bias) in enumerate(weights):
            state[f"model.{2 * number}.weight"] = kernel
            state[f"model.{2 * number}.bias"] = bias
        net.load_state_dict(state, assign=True)
        return net.eval()

    def fold_batch_norm(self) -> "DnCNN":
        """Network for inference whose convolutions do the work of the batch norms.

        Returns
        -------
        DnCNN
            A copy without batch norm, in evaluation mode. It gives what this network gives in
            evaluation mode up to rounding, in less time.
        """
        return DnCNN.from_layers(_folded(self.model), self.residual)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew, from ``generator`` or torch's global one."""
        reset_parameters(self, generator)
        norms = [layer for layer in self.model if isinstance(layer, nn.BatchNorm2d)]
        if norms:
            # NOTE[DIFF] the paper's code draws He's normal variables and scales of batch norm near
            # zero. This is the authors' later recipe, which learns faster; both begin with little
            # noise to subtract. Without batch norm so small weights would let no image through.
            for layer in self.model:
                if isinstance(layer, nn.Conv2d):
                    nn.init.orthogonal_(layer.weight, gain=0.2, generator=generator)
            for norm in norms:
                nn.init.uniform_(norm.weight, 0.1, 1.0, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map noisy images ``(n, n_channels, height, width)`` to clean ones."""
        output = self.model[1:](channels_last(self.model[0](x)))
        return x - output if self.residual else output

    def extra_repr(self) -> str:
        """Show what the printed layers do not tell."""
        return f"residual={self.residual}"


def _copy(values: ArrayLike | Tensor) -> Tensor:
    copy = values.detach().clone() if isinstance(values, Tensor) else torch.tensor(np.array(values))
    if not copy.is_floating_point():
        raise TypeError(f"expected floating-point weights, got {copy.dtype}")
    return copy


def _read_sizes(weights: list[tuple[Tensor, Tensor]]) -> tuple[int, int]:
    """Width and channels of the network that the weights belong to."""
    if len(weights) < 2:
        raise ValueError(f"expected the weights of at least 2 convolutions, got {len(weights)}")
    first, _ = weights[0]
    if first.ndim != 4:
        raise ValueError(
            f"expected kernels of 4 dimensions, got shape {tuple(weights[0][0].shape)}"
        )
    width, n_channels = weights[0][0].shape[:2]
    sizes = [n_channels] + [width] * (len(weights) - 1) + [n_channels]
    for number, (kernel, bias) in enumerate(weights):
        n_inputs, n_outputs = sizes[number : number + 2]
        expected = (n_outputs, n_inputs, 3, 3), (n_outputs,)
        shapes = tuple(kernel.shape), tuple(bias.shape)
        if shapes != expected:
            raise ValueError(
                f"expected kernel and bias of shapes {expected} in convolution {number} of "
                f"{len(weights)}, got {shapes}"
            )
    return width, n_channels


def _folded(model: nn.Sequential) -> Iterator[tuple[Tensor, Tensor]]:
    """Kernel and bias of every convolution, with the scale and shift of the norm behind it."""
    for layer, following in pairwise([*model, None]):
        if not isinstance(layer, nn.Conv2d):
            continue
        if isinstance(following, nn.BatchNorm2d):
            assert following.running_mean is not None
            assert following.running_var is not None
            yield fuse_conv_bn_weights(
                layer.weight,
                layer.bias,
                following.running_mean,
                following.running_var,
                following.eps,
                following.weight,
                following.bias,
            )
        else:
            assert layer.bias is not None
            yield layer.weight, layer.bias
