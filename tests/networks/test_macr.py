import pytest
import torch
from torch import nn

from sklearn_drsn.networks import MACR
from sklearn_drsn.networks._macr import ACRB, MSRM


def make_net(*args, **kwargs):
    net = MACR(*args, **kwargs)
    net.reset_parameters(torch.Generator().manual_seed(0))
    return net.eval()


def make_images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def count(module):
    return sum(p.numel() for p in module.parameters())


class TestBlocks:
    def test_parameters_of_the_paper(self):
        with torch.device("meta"):
            assert count(MSRM()) == 123_008
            assert count(ACRB()) == 569_792

    def test_four_kernel_sizes_side_by_side(self):
        block, x = MSRM(8), make_images(2, 8, 9, 8)
        parts = [branch(x).relu() for branch in block.branches]
        assert [part.shape[1] for part in parts] == [2] * 4
        assert [branch.kernel_size for branch in block.branches] == [(n, n) for n in (1, 3, 5, 7)]
        torch.testing.assert_close(block(x), x + block.merge(torch.cat(parts, 1)).relu())

    def test_every_operation_meets_all_later_ones_of_the_other_kind(self):
        block, x = ACRB(4), make_images(2, 4, 9, 8)
        plain, dilated = [x], [x]
        for first, second in zip(block.plain, block.dilated, strict=True):
            plain.append(first(torch.cat(dilated, 1)).relu())
            dilated.append(second(torch.cat(plain, 1)).relu())
        torch.testing.assert_close(block(x), x + block.reduce(torch.cat(dilated, 1)))

    def test_sees_25_pixels(self):
        block, x = ACRB(2).double(), torch.zeros(1, 2, 31, 31, dtype=torch.double)
        for parameter in block.parameters():
            nn.init.ones_(parameter)
        x.requires_grad_()
        block(x)[0, 0, 15, 15].backward()
        seen = x.grad[0, 0].nonzero()
        assert seen.amin(0).tolist() == [3, 3]
        assert seen.amax(0).tolist() == [27, 27]

    @pytest.mark.parametrize("make", [MSRM, ACRB])
    def test_drawn_from_a_generator(self, make):
        block, other = make(8), make(8)
        state = torch.get_rng_state()
        block.reset_parameters(torch.Generator().manual_seed(3))
        other.reset_parameters(torch.Generator().manual_seed(3))
        assert torch.equal(torch.get_rng_state(), state)
        x = make_images(1, 8, 5, 5)
        assert torch.equal(block(x), other(x))


class TestScales:
    @pytest.mark.parametrize("n_scales", [1, 2, 4])
    def test_coarse_to_fine(self, n_scales):
        net, x = make_net(n_scales, n_blocks=1, width=4), make_images(2, 1, 32, 64)
        sizes = [tuple(y.shape[2:]) for y in net.scales(x)]
        assert sizes == [(32 >> k, 64 >> k) for k in reversed(range(n_scales))]
        assert torch.equal(net(x), net.scales(x)[-1])

    def test_scales_share_all_weights(self):
        assert count(MACR(1, n_blocks=1, width=4)) == count(MACR(3, n_blocks=1, width=4))

    def test_a_result_helps_the_next_scale(self):
        net, x = make_net(2, 3, n_blocks=1, width=4), make_images(2, 3, 16, 16)
        inputs = []
        net.encoder.register_forward_hook(lambda module, args, output: inputs.append(args[0]))
        coarse, _ = net.scales(x)
        halved = x.reshape(2, 3, 8, 2, 8, 2).mean((3, 5))
        torch.testing.assert_close(inputs[0], torch.cat([halved, halved], 1))
        doubled = nn.functional.interpolate(coarse, size=(16, 16), mode="bilinear")
        torch.testing.assert_close(inputs[1], torch.cat([x, doubled], 1))

    def test_refuses_sizes_that_cannot_be_halved(self):
        with pytest.raises(ValueError, match=r"multiples of 16, got \(1, 1, 16, 24\)"):
            make_net(n_blocks=1, width=4).scales(make_images(1, 1, 16, 24))


class TestForward:
    @pytest.mark.parametrize("size", [(1, 1), (3, 40), (17, 16)])
    def test_any_size(self, size):
        y = make_net(n_blocks=1, width=4)(make_images(2, 1, *size))
        assert y.shape == (2, 1, *size)
        assert y.isfinite().all()

    def test_border_is_repeated(self):
        net, x = make_net(n_blocks=1, width=4), make_images(1, 1, 15, 16)
        padded = torch.cat([x, x[:, :, -1:]], 2)
        assert torch.equal(net(x), net(padded)[:, :, :-1])

    @pytest.mark.parametrize("global_skip", [True, False])
    def test_global_skip(self, global_skip):
        net, x = make_net(n_blocks=1, width=4, global_skip=global_skip), make_images(2, 1, 16, 16)
        nn.init.zeros_(net.reconstruct.weight)
        assert torch.equal(net(x), x * global_skip)

    def test_begins_near_the_blurred_image(self):
        net, x = make_net(n_blocks=4, width=16), make_images(2, 1, 32, 32)
        assert 0 < (net(x) - x).std() < 0.1

    def test_another_trunk_can_stand_in(self):
        net, x = make_net(n_blocks=1, width=4), make_images(2, 1, 16, 16)
        net.trunk = nn.Identity()
        net.reset_parameters(torch.Generator().manual_seed(0))
        assert net(x).shape == x.shape


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_scales": 0}, "n_scales must be at least 1, got 0"),
        ({"n_channels": 0}, "n_channels must be at least 1, got 0"),
        ({"n_blocks": -1}, "n_blocks must be at least 1, got -1"),
        ({"width": 6}, "width must be a positive multiple of 4, got 6"),
        ({"width": 0}, "width must be at least 1, got 0"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        MACR(**arguments)


def test_block_refuses():
    with pytest.raises(ValueError, match="width must be at least 1, got 0"):
        ACRB(0)
    with pytest.raises(ValueError, match="dilations must be at least 1, got 0"):
        ACRB(4, (1, 0))
