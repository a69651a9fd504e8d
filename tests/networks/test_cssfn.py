import pytest
import torch
from torch import nn

from sklearn_drsn.networks import CSSFN
from sklearn_drsn.networks._cssfn import SerialFusionBlock


def make_net(*args, **kwargs):
    net = CSSFN(*args, **kwargs)
    net.reset_parameters(torch.Generator().manual_seed(0))
    return net.eval()


def make_images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


class TestBlock:
    @pytest.mark.parametrize("fusion", ["concatenate", "add"])
    def test_a_group_reads_itself_and_those_before(self, fusion):
        block, x = SerialFusionBlock(6, 3, fusion), make_images(1, 6, 7, 7).requires_grad_()
        for parameter in block.parameters():
            nn.init.ones_(parameter)  # no unit is dead
        mixed = []
        block.mix.register_forward_hook(lambda module, args, output: mixed.append(*args))
        block(x)
        for group in range(3):
            part = mixed[0][:, 2 * group : 2 * group + 2]
            (gradient,) = torch.autograd.grad(part.sum(), x, retain_graph=True)
            read = gradient.abs().sum((0, 2, 3)).reshape(3, 2).any(1)
            assert read.tolist() == [other <= group for other in range(3)]

    def test_value(self):
        block, x = SerialFusionBlock(4, 2), make_images(2, 4, 7, 7)
        first = x[:, :2] + block.groups[0](x[:, :2])
        second = x[:, 2:] + block.groups[1](torch.cat([x[:, 2:], first], 1))
        torch.testing.assert_close(block(x), x + block.mix(torch.cat([first, second], 1)))

    def test_adding_needs_fewer_weights(self):
        with torch.device("meta"):
            joined, added = SerialFusionBlock(), SerialFusionBlock(fusion="add")
        sizes = [sum(p.numel() for p in block.parameters()) for block in (joined, added)]
        assert sizes[0] - sizes[1] == 3 * 16 * 16 * 9

    def test_the_last_group_sees_farthest(self):
        """Two convolutions a group: 4 pixels more each."""
        block, x = SerialFusionBlock(3, 3), torch.zeros(1, 3, 21, 21)
        for parameter in block.parameters():
            nn.init.ones_(parameter)
        x.requires_grad_()
        block(x)[0, 0, 10, 10].backward()
        reach = [10 - x.grad[0, channel].nonzero().min().item() for channel in range(3)]
        assert reach == [6, 4, 2]


class TestArchitecture:
    @pytest.mark.parametrize("scale", [2, 3, 4])
    def test_enlarges(self, scale):
        y = make_net(scale, 2, 1, 4, 2)(make_images(2, 2, 5, 6))
        assert y.shape == (2, 2, 5 * scale, 6 * scale)

    def test_blocks_read_a_fusion_of_all_features_so_far(self):
        net, x = make_net(n_blocks=3, width=8, global_skip=False), make_images(2, 1, 7, 8)
        features = [net.head(x)]
        read = features[0]
        for block, fuse in zip(net.blocks, net.fusions, strict=True):
            features.append(block(read))
            read = fuse(torch.cat(features, 1))
        torch.testing.assert_close(net(x), net.tail(features[0] + net.smooth(read)))
        assert [fuse.in_channels for fuse in net.fusions] == [16, 24, 32]

    def test_global_skip(self):
        net, x = make_net(n_blocks=1, width=4), make_images(2, 1, 7, 8)
        other = make_net(n_blocks=1, width=4, global_skip=False)
        enlarged = nn.functional.interpolate(x, scale_factor=2, mode="bicubic", antialias=True)
        torch.testing.assert_close(net(x), other(x) + enlarged)

    def test_begins_near_the_enlarged_image(self):
        x = make_images(2, 1, 24, 24)
        net, other = (make_net(n_blocks=8, width=32, global_skip=skip) for skip in (True, False))
        assert 0 < (other(x)).std() < 0.5
        assert net(x).std() < 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 1}, "scale must be at least 2, got 1"),
        ({"n_channels": 0}, "n_channels must be at least 1, got 0"),
        ({"n_blocks": 0}, "n_blocks must be at least 1, got 0"),
        ({"n_groups": 0}, "n_groups must be at least 1, got 0"),
        ({"width": 30}, "width must be a multiple of n_groups=4, got 30"),
        ({"fusion": "multiply"}, "fusion must be one of .*got 'multiply'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        CSSFN(**arguments)
