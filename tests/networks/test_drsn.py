import math

import pytest
import torch

from sklearn_drsn.layers import DOWNSAMPLINGS, THRESHOLD_MODES, ColumnLinear
from sklearn_drsn.networks import DRSN

SIZES = {0: (), 1: (40,), 2: (12, 10)}


def make_net(**parameters):
    net = DRSN(**parameters)
    net.reset_parameters(torch.Generator().manual_seed(0))
    return net.eval()


def output_shapes(net, x):
    """Shapes after the stem, every unit and the head, without the samples."""
    shapes = []
    layers = (net.stem, *net.units, net.head)
    handles = [
        layer.register_forward_hook(lambda *args: shapes.append(tuple(args[-1].shape[1:])))
        for layer in layers
    ]
    net(x)
    for handle in handles:
        handle.remove()
    return shapes


def unit_plan(**parameters):
    """Channels and stride of every unit."""
    return [(unit.body[5].weight.shape[0], unit.stride) for unit in DRSN(**parameters).units]


class TestPaper:
    """Zhao et al. 2020, table II."""

    @pytest.mark.parametrize(
        ("depth", "mode", "shortcut", "expected"),
        [
            (12, "channel_wise", True, 11_552),
            (12, "channel_shared", True, 10_220),
            (12, None, True, 8_416),
            (12, None, False, 8_416),
            (9, "channel_wise", True, 8_584),
            (9, "channel_shared", True, 7_585),
            (9, None, True, 6_232),
            (6, "channel_wise", True, 5_616),
            (6, "channel_shared", True, 4_950),
            (6, None, True, 4_048),
        ],
    )
    def test_trainable_parameters(self, depth, mode, shortcut, expected):
        net = DRSN(depth=depth, threshold_mode=mode, shortcut=shortcut)
        assert sum(p.numel() for p in net.parameters() if p.requires_grad) == expected

    def test_defaults_are_the_network_of_the_paper(self):
        assert sum(p.numel() for p in DRSN().parameters()) == 11_552

    @pytest.mark.parametrize("mode", THRESHOLD_MODES)
    def test_output_size_of_every_layer(self, mode):
        x = torch.zeros(2, 1, 2048)
        net = make_net(threshold_mode=mode)
        stages = [(4, 512)] * 4 + [(8, 256)] * 4 + [(16, 128)] * 4
        assert output_shapes(net, x) == [(4, 1024), *stages, (8,)]
        assert net.features(x).shape == (2, 16)
        assert net.n_features == 16


class TestPlan:
    @pytest.mark.parametrize(
        ("depth", "sizes"),
        [
            (1, [1]),
            (2, [1, 1]),
            (3, [1, 1, 1]),
            (4, [2, 1, 1]),
            (5, [2, 2, 1]),
            (7, [3, 2, 2]),
            (10, [4, 3, 3]),
        ],
    )
    @pytest.mark.parametrize("dim", [1, 2])
    def test_first_stages_take_the_remainder(self, dim, depth, sizes):
        expected = []
        for stage, size in enumerate(sizes):
            expected += [(5 * 2**stage, 2)] + [(5 * 2**stage, 1)] * (size - 1)
        assert unit_plan(depth=depth, width=5, dim=dim) == expected

    @pytest.mark.parametrize("depth", [1, 4, 7])
    def test_tables_keep_the_width(self, depth):
        assert unit_plan(n_channels=3, depth=depth, width=5, dim=0) == [(5, 1)] * depth
        assert DRSN(n_channels=3, depth=depth, width=5, dim=0).n_features == 5


class TestForward:
    @pytest.mark.parametrize("stem_stride", [1, 2, 4])
    @pytest.mark.parametrize("kernel_size", [1, 3, 5])
    @pytest.mark.parametrize("downsampling", DOWNSAMPLINGS)
    def test_any_length(self, kernel_size, stem_stride, downsampling):
        net = make_net(
            depth=3,
            kernel_size=kernel_size,
            stem_kernel_size=7,
            stem_stride=stem_stride,
            downsampling=downsampling,
        )
        for length in (1, 2, 3, 5, 8, 17, 33):
            y = net(torch.ones(2, 1, length))
            assert y.shape == (2, 8)
            assert y.isfinite().all()

    @pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 3), (13, 1)])
    @pytest.mark.parametrize("downsampling", DOWNSAMPLINGS)
    def test_any_image(self, size, downsampling):
        net = make_net(depth=3, dim=2, downsampling=downsampling)
        assert net(torch.ones(2, 1, *size)).shape == (2, 8)

    def test_trains_on_a_length_of_one(self):
        net = make_net(depth=3).train()
        net(torch.randn(4, 1, 1)).square().sum().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())

    @pytest.mark.parametrize("dim", SIZES)
    def test_head_on_the_mean_of_the_features(self, dim):
        net = make_net(n_channels=2, depth=3, dim=dim)
        x = torch.randn(3, 2, *SIZES[dim], generator=torch.Generator().manual_seed(1))
        maps = net.units(net.stem(x)) / math.sqrt(1 + 1e-5)  # a fresh batch norm's eps
        pooled = maps.relu().reshape(3, net.n_features, -1).mean(2)
        torch.testing.assert_close(net.features(x), pooled)
        torch.testing.assert_close(net(x), pooled @ net.head.weight.T + net.head.bias)

    @pytest.mark.parametrize("mode", THRESHOLD_MODES)
    def test_channels_stay_last_in_memory(self, mode):
        """No layer on the CPU turns the layout round, which would cost half of the speed."""
        net = make_net(depth=3, width=8, threshold_mode=mode)
        strides = []
        for layer in (net.stem, *net.units, net.norm):
            layer.register_forward_hook(lambda *args: strides.append(args[-1].stride()[1]))
        net(torch.randn(2, 1, 64))
        assert strides == [1] * 5

    def test_dropout_acts_on_training_alone(self):
        net, plain = make_net(depth=3, dropout=0.5), make_net(depth=3)
        x = torch.randn(4, 1, 40, generator=torch.Generator().manual_seed(1))
        assert torch.equal(net(x), plain(x))
        state = torch.get_rng_state()
        net.dropout.generator = torch.Generator().manual_seed(0)
        assert not torch.equal(net.train()(x), plain.train()(x))
        assert torch.equal(torch.get_rng_state(), state)

    def test_shrinkage_adds_gates_and_nothing_else(self):
        added = DRSN().state_dict().keys() - DRSN(threshold_mode=None).state_dict().keys()
        assert len(added) == 12 * 9
        assert all(".threshold.gate." in name for name in added)


class TestPooling:
    @pytest.mark.parametrize(("dim", "size"), [(1, (40,)), (2, (9, 12))])
    @pytest.mark.parametrize("training", [False, True])
    def test_the_head_sees_mean_and_log_power(self, dim, size, training):
        net, average = (make_net(dim=dim, pooling=p) for p in ("log_power", "average"))
        average.load_state_dict({k: v for k, v in net.state_dict().items() if "head" not in k},
                                strict=False)  # fmt: skip
        x = torch.randn(4, 1, *size, generator=torch.Generator().manual_seed(1))
        maps = []
        net.norm.register_forward_hook(lambda module, args, out: maps.append(out.clone()))
        found = net.train(training).features(x)
        power = torch.relu(maps[0]).square().flatten(2).mean(2)
        mean, log = found.chunk(2, dim=1)
        torch.testing.assert_close(mean, average.train(training).features(x))
        torch.testing.assert_close(log, torch.log(power + 0.01))
        assert net.n_features == 2 * average.n_features == found.shape[1]

    def test_of_silence_is_finite(self):
        net = make_net(pooling="log_power")
        torch.nn.init.constant_(net.norm.bias, -1e3)
        log = net.features(torch.zeros(2, 1, 40))[:, net.n_features // 2 :]
        torch.testing.assert_close(log, torch.full_like(log, math.log(0.01)))

    def test_of_tables_changes_nothing(self):
        net = make_net(n_channels=5, width=6, dim=0, pooling="log_power")
        assert net.n_features == net.head.in_features == 6


class TestColumns:
    def test_whole_by_default(self):
        assert type(make_net(n_channels=5, width=6, dim=0).stem) is ColumnLinear

    def test_pieces_in_tables_only(self):
        assert DRSN(5, width=6, n_pieces=4, dim=0).stem.bends.shape == (6, 20)
        assert DRSN(5, width=6, n_pieces=4, n_bent=2, dim=0).stem.bends.shape == (6, 8)
        assert sum(p.numel() for p in DRSN(n_pieces=4).parameters()) == 11_552

    def test_reset_forgets_pieces(self):
        net = make_net(n_channels=2, n_pieces=4, dim=0)
        before = net.stem.lower.clone()
        net.stem.learn(torch.full((50, 2), 3.0), torch.tensor([1, 0]))
        torch.nn.init.ones_(net.stem.bends)
        assert not torch.equal(net.stem.lower, before)
        net.reset_parameters()
        assert torch.equal(net.stem.lower, before)
        assert not net.stem.bends.any()

    def test_columns_begin_as_without_bends(self):
        straight, bent = (make_net(n_channels=3, width=6, n_pieces=n, dim=0) for n in (1, 4))
        assert torch.equal(straight.stem.weight, bent.stem.weight)


class TestRefuses:
    @pytest.mark.parametrize("value", [0, -1])
    @pytest.mark.parametrize(
        "name", ["n_channels", "n_outputs", "depth", "width", "stem_stride", "n_pieces"]
    )
    def test_less_than_one(self, name, value):
        with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
            DRSN(**{name: value})

    @pytest.mark.parametrize("name", ["kernel_size", "stem_kernel_size"])
    def test_even_kernels(self, name):
        with pytest.raises(ValueError, match="kernel_size must be a positive odd number, got 4"):
            DRSN(**{name: 4})

    @pytest.mark.parametrize("dim", [-1, 3])
    def test_other_dimensions(self, dim):
        with pytest.raises(ValueError, match=f"dim must be 0, 1 or 2, got {dim}"):
            DRSN(dim=dim)

    def test_other_poolings(self):
        with pytest.raises(ValueError, match=r"pooling must be one of .*, got 'max'"):
            DRSN(pooling="max")

    def test_other_modes(self):
        with pytest.raises(ValueError, match="threshold_mode must be one of"):
            DRSN(threshold_mode="soft")

    def test_other_dropouts(self):
        with pytest.raises(ValueError, match=r"p must lie in \[0, 1\), got 1\.0"):
            DRSN(dropout=1.0)
