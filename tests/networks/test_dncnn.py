import pytest
import torch
from torch import nn

from sklearn_drsn.networks import DnCNN


def make_net(*args, **kwargs):
    """A network whose batch norms do something."""
    generator = torch.Generator().manual_seed(0)
    net = DnCNN(*args, **kwargs)
    net.reset_parameters(generator)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
            nn.init.uniform_(layer.weight, 0.5, 2, generator=generator)
            nn.init.normal_(layer.bias, std=0.1, generator=generator)
    return net.eval()


def make_images(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def weights_of(net):
    """Pairs of kernels and biases as NumPy arrays."""
    layers = [layer for layer in net.model if isinstance(layer, nn.Conv2d)]
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in layers]


class TestArchitecture:
    @pytest.mark.parametrize(
        ("arguments", "count"),
        [
            ({}, 556_097),
            ({"batch_norm": False}, 555_137),
            ({"depth": 20}, 667_073),
            ({"depth": 20, "batch_norm": False}, 665_921),
            ({"depth": 20, "batch_norm": False, "n_channels": 3}, 668_227),
        ],
        ids=str,
    )
    def test_parameters_of_the_paper(self, arguments, count):
        with torch.device("meta"):
            net = DnCNN(**arguments)
        assert sum(p.numel() for p in net.parameters() if p.requires_grad) == count

    @pytest.mark.parametrize("depth", [2, 3, 6])
    def test_a_pixel_sees_twice_the_depth(self, depth):
        net, x = DnCNN(depth, 2).double().eval(), make_images(1, 1, 21, 21).double()
        for parameter in net.parameters():
            nn.init.ones_(parameter)
        net(x.requires_grad_())[0, 0, 10, 10].backward()
        seen = x.grad[0, 0].nonzero()
        assert seen.amin(0).tolist() == [10 - depth] * 2
        assert seen.amax(0).tolist() == [10 + depth] * 2

    @pytest.mark.parametrize("residual", [True, False])
    def test_output_is_the_input_less_the_noise(self, residual):
        net, x = make_net(4, 6, 3, residual), make_images(2, 3, 9, 8)
        expected = x - net.model(x) if residual else net.model(x)
        torch.testing.assert_close(net(x), expected)

    def test_no_norm_at_the_ends(self):
        kinds = [type(layer).__name__ for layer in DnCNN(3, 2).model]
        assert kinds == ["Conv2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Correction"]

    @pytest.mark.parametrize("batch_norm", [True, False])
    def test_begins_with_little_noise(self, batch_norm):
        """A new network leaves images nearly as they are, in training mode too."""
        net = DnCNN(8, 32, batch_norm=batch_norm)
        net.reset_parameters(torch.Generator().manual_seed(0))
        x = make_images(4, 1, 24, 24)
        assert 1e-3 < (net(x) - x).std() < 0.1

    def test_repr_tells_what_is_predicted(self):
        assert "residual=False" in repr(DnCNN(2, 2, residual=False))


class TestFolding:
    @pytest.mark.parametrize(
        "arguments", [(17, 16), (2, 4), (5, 8, 3, False), (4, 8, 1, True, False)], ids=str
    )
    def test_same_output(self, arguments):
        net, x = make_net(*arguments), make_images(2, net_channels(arguments), 20, 17)
        folded = net.fold_batch_norm()
        with torch.no_grad():
            torch.testing.assert_close(folded(x), net(x), rtol=0, atol=1e-5)

    def test_training_network_stays_as_it_is(self):
        net = make_net(4, 8).train()
        before = {name: value.clone() for name, value in net.state_dict().items()}
        folded = net.fold_batch_norm()
        assert net.training
        assert not folded.training
        nn.init.zeros_(folded.model[0].weight)
        assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())

    def test_folded_network_can_train(self):
        folded = make_net(4, 8).fold_batch_norm()
        folded(make_images(2, 1, 9, 9)).sum().backward()
        assert all(p.grad is not None for p in folded.parameters())

    def test_double_precision_stays(self):
        net, x = make_net(4, 8).double(), make_images(1, 1, 9, 9).double()
        torch.testing.assert_close(net.fold_batch_norm()(x), net(x), rtol=0, atol=1e-12)

    def test_state_has_the_published_keys(self):
        keys = make_net(4, 8).fold_batch_norm().state_dict().keys()
        names = ("weight", "bias")
        published = [f"model.{2 * layer}.{name}" for layer in range(4) for name in names]
        assert list(keys) == published


def net_channels(arguments):
    return arguments[2] if len(arguments) > 2 else 1


class TestFromLayers:
    @pytest.mark.parametrize("sizes", [(2, 3, 1), (5, 4, 3), (4, 3, 3)], ids=str)
    def test_sizes_are_read_off(self, sizes):
        net = make_net(*sizes, batch_norm=False)
        read = DnCNN.from_layers(weights_of(net))
        x = make_images(2, sizes[2], 9, 8)
        assert torch.equal(read(x), net(x))
        assert not read.training

    def test_residual_is_told(self):
        net = make_net(3, 4, residual=False, batch_norm=False)
        x = make_images(1, 1, 9, 8)
        assert torch.equal(DnCNN.from_layers(weights_of(net), residual=False)(x), net(x))

    def test_weights_are_copied(self):
        weights = weights_of(make_net(3, 4, batch_norm=False))
        net = DnCNN.from_layers(weights)
        before = net.model[0].weight.clone()
        weights[0][0][:] = 0
        assert torch.equal(net.model[0].weight, before)

    def test_arrays_of_any_layout(self):
        net = make_net(3, 4, batch_norm=False)
        layers = [(kernel.T.copy().T, bias) for kernel, bias in weights_of(net)]
        assert not layers[1][0].flags["C_CONTIGUOUS"]
        x = make_images(1, 1, 9, 8)
        assert torch.equal(DnCNN.from_layers(layers)(x), net(x))

    def test_refuses_one_layer(self):
        with pytest.raises(ValueError, match="at least 2 convolutions, got 1"):
            DnCNN.from_layers(weights_of(make_net(2, 4, batch_norm=False))[:1])

    @pytest.mark.parametrize(
        ("number", "kernel_shape", "bias_shape"),
        [
            (0, (4, 1, 5, 5), (4,)),
            (1, (4, 4, 3, 3), (5,)),
            (1, (4, 5, 3, 3), (4,)),
            (2, (2, 4, 3, 3), (2,)),
            (2, (4, 3, 3), (1,)),
        ],
    )
    def test_refuses_other_shapes(self, number, kernel_shape, bias_shape):
        weights = weights_of(make_net(3, 4, batch_norm=False))
        weights[number] = torch.zeros(kernel_shape), torch.zeros(bias_shape)
        with pytest.raises(ValueError, match=f"in convolution {number} of 3, got"):
            DnCNN.from_layers(weights)

    def test_refuses_other_dimensions_and_types(self):
        kernel, bias = weights_of(make_net(2, 4, batch_norm=False))[0]
        with pytest.raises(ValueError, match=r"4 dimensions, got shape \(4, 3, 3\)"):
            DnCNN.from_layers([(kernel[:, 0], bias)] * 2)
        with pytest.raises(TypeError, match=r"floating-point weights, got torch\.int64"):
            DnCNN.from_layers([(kernel.astype("i8"), bias)] * 2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 1}, "depth must be at least 2, got 1"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"n_channels": -1}, "n_channels must be at least 1, got -1"),
    ],
)
def test_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        DnCNN(**arguments)
