import numpy as np
import pytest
import torch
from torch import nn

from sklearn_drsn.degradations import upsample_bicubic
from sklearn_drsn.functional import soft_threshold
from sklearn_drsn.networks import MSRN
from sklearn_drsn.networks._msrn import MSRB


def make_net(*args, **kwargs):
    net = MSRN(*args, **kwargs)
    net.reset_parameters(torch.Generator().manual_seed(0))
    return net.eval()


def make_images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def count(module):
    return sum(p.numel() for p in module.parameters())


class TestArchitecture:
    @pytest.mark.parametrize(
        ("scale", "expected"), [(2, 5_891_073), (3, 6_075_713), (4, 6_334_209), (8, 8_106_753)]
    )
    def test_parameters_of_the_paper(self, scale, expected):
        with torch.device("meta"):
            assert count(MSRN(scale)) == expected

    def test_parameters_of_a_block(self):
        with torch.device("meta"):
            assert count(MSRB()) == 713_152

    @pytest.mark.parametrize("scale", [2, 3, 5])
    def test_enlarges(self, scale):
        y = make_net(scale, 3, 1, 4)(make_images(2, 3, 5, 6))
        assert y.shape == (2, 3, 5 * scale, 6 * scale)

    def test_block_reads_both_kernel_sizes_twice(self):
        block, x = MSRB(4), make_images(2, 4, 9, 8)
        (first3, first5), (second3, second5) = block.first, block.second
        features = torch.cat([first3(x), first5(x)], 1).relu()
        features = torch.cat([second3(features), second5(features)], 1).relu()
        torch.testing.assert_close(block(x), x + block.fuse(features))
        for layer, size in ((first3, 3), (first5, 5), (second3, 3), (second5, 5)):
            assert layer.kernel_size == (size, size)

    def test_all_features_are_fused(self):
        net, x = make_net(n_blocks=3, width=4), make_images(2, 1, 9, 8)
        features = [net.head(x)]
        for block in net.blocks:
            features.append(block(features[-1]))
        torch.testing.assert_close(net(x), net.tail(net.fuse(torch.cat(features, 1))))

    def test_global_skip_is_bicubic(self):
        net, x = make_net(3, n_blocks=1, width=4, global_skip=True), make_images(2, 1, 12, 11)
        nn.init.zeros_(net.tail[-1].weight)
        y = net(x).clamp(0, 1).detach().numpy()
        expected = upsample_bicubic(x.numpy(), 3)
        inner = np.s_[..., 6:-6, 6:-6]  # borders are mirrored there and cut off here
        np.testing.assert_allclose(y[inner], expected[inner], atol=1e-6)

    def test_features_keep_their_power(self):
        net = make_net(n_blocks=8, width=24)
        y = net.head(make_images(2, 1, 24, 24))
        power = y.square().mean()
        for block in net.blocks:
            y = block(y)
        assert 0.5 < (y.square().mean() / power) < 2


class TestAttention:
    @pytest.mark.parametrize("attention", ["squeeze_excitation", "threshold"])
    def test_adds_three_gates_a_block_and_nothing_else(self, attention):
        with torch.device("meta"):
            plain = MSRN(n_blocks=2, width=4).state_dict().keys()
            added = MSRN(n_blocks=2, width=4, attention=attention).state_dict().keys() - plain
        gates = {name.partition(".gate.")[0].removesuffix(".threshold") for name in added}
        places = ("weigh_first", "weigh_second", "weigh_fused")
        assert gates == {f"blocks.{block}.{place}" for block in range(2) for place in places}

    @pytest.mark.parametrize("attention", ["squeeze_excitation", "threshold"])
    def test_weighs_both_sizes_and_the_fused_features(self, attention):
        block, x = MSRB(4, attention).eval(), make_images(2, 4, 9, 8)
        plain = MSRB(4).eval()
        plain.load_state_dict(block.state_dict(), strict=False)
        seen = {}
        for name, module in block.named_children():
            if name.startswith("weigh"):
                module.register_forward_hook(
                    lambda module, args, output, name=name: seen.update({name: (*args, output)})
                )
        assert not torch.equal(block(x), plain(x))
        assert [value[0].shape[1] for value in seen.values()] == [8, 16, 4]
        for name, (before, after) in seen.items():
            layer = getattr(block, name)
            if attention == "threshold":
                expected = soft_threshold(before, layer.threshold(before))
            else:
                expected = before * layer.gate(before.mean((2, 3)))[..., None, None]
            torch.testing.assert_close(after, expected)

    def test_thresholds_empty_some_features(self):
        block = MSRB(8, "threshold").eval()
        x = make_images(2, 8, 9, 8)
        shrunk = block.weigh_fused(x)
        assert 0 < (shrunk == 0).float().mean() < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": 1}, "scale must be at least 2, got 1"),
        ({"n_channels": 0}, "n_channels must be at least 1, got 0"),
        ({"n_blocks": 0}, "n_blocks must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"attention": "spatial"}, "attention must be one of .*'threshold'.*got 'spatial'"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        MSRN(**arguments)
