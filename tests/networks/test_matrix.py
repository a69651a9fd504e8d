"""One matrix for every network: what each of them has to promise."""

import copy
import pickle
from functools import partial

import pytest
import torch

from sklearn_drsn import networks
from sklearn_drsn.networks import CSSFN, DRSN, MACR, MSRN, DenoisingDRSN, DnCNN

# id: how to build it, the shape of an input of five samples, the shape of the output.
CASES = {
    "DRSN paper": (DRSN, (5, 1, 64), (5, 8)),
    "DRSN shared": (partial(DRSN, depth=4, threshold_mode="channel_shared"), (5, 1, 33), (5, 8)),
    "DRSN excitation": (
        partial(DRSN, 3, 2, depth=3, threshold_mode="squeeze_excitation", kernel_size=5),
        (5, 3, 20),
        (5, 2),
    ),
    "DRSN plain": (
        partial(DRSN, depth=2, threshold_mode=None, stem_stride=1),
        (5, 1, 16),
        (5, 8),
    ),
    "DRSN no shortcut": (partial(DRSN, depth=3, shortcut=False, dropout=0.2), (5, 1, 30), (5, 8)),
    "DRSN table": (partial(DRSN, 7, 3, depth=3, width=6, dim=0), (5, 7), (5, 3)),
    "DRSN pieces": (partial(DRSN, 7, 3, depth=2, n_pieces=4, dim=0), (5, 7), (5, 3)),
    "DRSN log power": (partial(DRSN, 3, 2, depth=2, pooling="log_power"), (5, 3, 40), (5, 2)),
    "DRSN image": (partial(DRSN, 3, 1, depth=3, dim=2), (5, 3, 14, 11), (5, 1)),
    "DenoisingDRSN": (partial(DenoisingDRSN, depth=2, width=4), (5, 1, 45), (5, 1, 45)),
    "DenoisingDRSN image": (
        partial(DenoisingDRSN, 3, depth=1, width=4, kernel_size=3, stem_stride=2, dim=2),
        (5, 3, 14, 11),
        (5, 3, 14, 11),
    ),
    "DnCNN": (partial(DnCNN, 5, 8), (5, 1, 9, 8), (5, 1, 9, 8)),
    "DnCNN plain": (partial(DnCNN, 3, 4, 3, False, False), (5, 3, 9, 8), (5, 3, 9, 8)),
    "MACR": (partial(MACR, n_blocks=2, width=4), (5, 1, 18, 15), (5, 1, 18, 15)),
    "MACR colour": (
        partial(MACR, 1, 3, n_blocks=1, width=8, global_skip=False),
        (5, 3, 8, 12),
        (5, 3, 8, 12),
    ),
    "MSRN": (partial(MSRN, n_blocks=2, width=4), (5, 1, 7, 8), (5, 1, 14, 16)),
    "MSRN excitation": (
        partial(MSRN, 3, 3, n_blocks=1, width=4, attention="squeeze_excitation"),
        (5, 3, 7, 8),
        (5, 3, 21, 24),
    ),
    "MSRN threshold": (
        partial(MSRN, n_blocks=1, width=4, attention="threshold", global_skip=True),
        (5, 1, 7, 8),
        (5, 1, 14, 16),
    ),
    "CSSFN": (partial(CSSFN, n_blocks=3, width=8), (5, 1, 7, 8), (5, 1, 14, 16)),
    "CSSFN adding": (
        partial(CSSFN, 4, 2, 1, 6, 3, fusion="add", global_skip=False),
        (5, 2, 7, 8),
        (5, 2, 28, 32),
    ),
}
every_network = pytest.mark.parametrize(
    ("make", "input_shape", "output_shape"), CASES.values(), ids=CASES
)
every_builder = pytest.mark.parametrize(
    ("make", "input_shape"), [case[:2] for case in CASES.values()], ids=CASES
)


def make_net(make, seed=0):
    """A network in evaluation mode whose batch norms have statistics of their own."""
    generator = torch.Generator().manual_seed(seed)
    net = make().eval()
    net.reset_parameters(generator)
    for layer in net.modules():
        if hasattr(layer, "running_mean"):
            layer.running_mean.normal_(std=0.1, generator=generator)
            layer.running_var.uniform_(0.5, 2, generator=generator)
        if hasattr(layer, "weight") and not layer.weight.any():  # a head that begins with nothing
            torch.nn.init.normal_(layer.weight, std=0.1, generator=generator)
    return net


def make_input(shape, n_samples=5):
    generator = torch.Generator().manual_seed(1)
    return torch.randn((n_samples, *shape[1:]), generator=generator)


def assert_same_state(net, other):
    assert net.state_dict().keys() == other.state_dict().keys()
    for name, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_every_network_is_in_the_matrix():
    built = {getattr(make, "func", make).__name__ for make, _, _ in CASES.values()}
    assert built == set(networks.__all__)


@every_network
class TestShape:
    @pytest.mark.parametrize("n_samples", [1, 2, 5])
    def test_any_number_of_samples(self, make, input_shape, output_shape, n_samples):
        y = make_net(make)(make_input(input_shape, n_samples))
        assert y.shape == (n_samples, *output_shape[1:])
        assert y.isfinite().all()

    def test_float64(self, make, input_shape, output_shape):
        y = make_net(make).double()(make_input(input_shape).double())
        assert (y.shape, y.dtype) == (output_shape, torch.float64)

    def test_autocast(self, make, input_shape, output_shape):
        net, x = make_net(make), make_input(input_shape)
        with torch.autocast("cpu", torch.bfloat16):
            y = net(x)
        # What is added to a float32 image stays float32.
        assert (y.shape, y.dtype) in [(output_shape, torch.bfloat16), (output_shape, x.dtype)]
        torch.testing.assert_close(y.float(), net(x), rtol=0.1, atol=0.1)
        y.float().square().sum().backward()
        assert all(p.grad.isfinite().all() for p in net.parameters())

    def test_export_with_any_number_of_samples(self, make, input_shape, output_shape):
        net = make_net(make)
        n_samples = torch.export.Dim("n_samples")
        program = torch.export.export(
            net, (make_input(input_shape),), dynamic_shapes=({0: n_samples},)
        )
        x = make_input(input_shape, 9)
        y = program.module()(x)
        assert y.shape == (9, *output_shape[1:])
        torch.testing.assert_close(y, net(x))

    def test_training_compiles_as_one_graph(self, make, input_shape, output_shape):
        """In pieces a deep network has more of them than torch compiles."""
        torch.compiler.reset()
        net, x = make_net(make).train(), make_input(input_shape)
        compiled = torch.compile(copy.deepcopy(net), fullgraph=True, backend="eager")
        torch.manual_seed(0)
        y = compiled(x)
        torch.manual_seed(0)
        torch.testing.assert_close(y, net(x))


@every_builder
class TestSamples:
    def test_stay_apart_in_evaluation_mode(self, make, input_shape):
        """Another neighbour changes no bit of a sample's output."""
        net, x = make_net(make), make_input(input_shape)
        changed = x.clone()
        changed[2] *= 10
        before, after = net(x), net(changed)
        others = [0, 1, 3, 4]
        assert torch.equal(before[others], after[others])
        assert not torch.equal(before[2], after[2])

    def test_evaluation_moves_nothing(self, make, input_shape):
        net = make_net(make)
        before, state = copy.deepcopy(net), torch.get_rng_state()
        first, second = net(make_input(input_shape)), net(make_input(input_shape))
        assert torch.equal(first, second)
        assert torch.equal(torch.get_rng_state(), state)
        assert_same_state(net, before)


@every_builder
class TestWeights:
    def test_every_parameter_has_a_gradient(self, make, input_shape):
        net = make_net(make).train()
        net(make_input(input_shape)).square().sum().backward()
        missing = [name for name, p in net.named_parameters() if p.grad is None]
        assert missing == []
        assert all(p.grad.isfinite().all() for p in net.parameters())

    def test_gradient_tells_how_the_loss_falls(self, make, input_shape):
        """A step meant to take a millionth off the loss does so."""
        net, x = make_net(make).double(), make_input(input_shape).double()
        loss = net(x).square().mean()
        loss.backward()
        with torch.no_grad():
            slope = sum(p.grad.square().sum() for p in net.parameters())
            for p in net.parameters():
                p -= 1e-6 * loss / slope * p.grad
            fall = loss - net(x).square().mean()
        assert fall.item() == pytest.approx(1e-6 * loss.item(), rel=0.01)

    def test_drawn_from_the_generator_alone(self, make, input_shape):
        net, other = make(), make()
        state = torch.get_rng_state()
        net.reset_parameters(torch.Generator().manual_seed(3))
        other.reset_parameters(torch.Generator().manual_seed(3))
        assert torch.equal(torch.get_rng_state(), state)
        assert_same_state(net, other)
        other.reset_parameters(torch.Generator().manual_seed(4))
        assert not torch.equal(next(net.parameters()), next(other.parameters()))

    def test_drawn_anew_after_training(self, make, input_shape):
        net, fresh = make_net(make, seed=8).train(), make()
        net(make_input(input_shape))
        net.reset_parameters(torch.Generator().manual_seed(3))
        fresh.reset_parameters(torch.Generator().manual_seed(3))
        assert_same_state(net, fresh)

    def test_built_without_memory(self, make, input_shape):
        """On the meta device nothing is drawn, and a seed gives the weights it always gives."""
        state = torch.get_rng_state()
        with torch.device("meta"):
            net = make()
        net.to_empty(device="cpu")
        net.reset_parameters(torch.Generator().manual_seed(3))
        assert torch.equal(torch.get_rng_state(), state)
        direct = make()
        direct.reset_parameters(torch.Generator().manual_seed(3))
        assert_same_state(net, direct)

    def test_biases_are_zero(self, make, input_shape):
        biases = [p for name, p in make_net(make).named_parameters() if name.endswith("bias")]
        assert len(biases) > 1
        assert not any(bias.any() for bias in biases)


@every_builder
class TestRoundTrips:
    @pytest.mark.parametrize(
        "duplicate", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))]
    )
    def test_copies(self, make, input_shape, duplicate):
        net, x = make_net(make), make_input(input_shape)
        assert torch.equal(duplicate(net)(x), net(x))

    def test_state_dict(self, make, input_shape):
        net, other, x = make_net(make), make_net(make, seed=7), make_input(input_shape)
        assert not torch.equal(other(x), net(x))
        other.load_state_dict(net.state_dict())
        assert torch.equal(other(x), net(x))
