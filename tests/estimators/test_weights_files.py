"""Published weights: what is read, and that nothing in a file is ever executed."""

import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_drsn import DnCNNDenoiser
from sklearn_drsn.networks import DnCNN

h5py = pytest.importorskip("h5py")

DEPTH, WIDTH = 4, 5


def make_network(n_channels=1, seed=0):
    net = DnCNN(DEPTH, WIDTH, n_channels, batch_norm=False)
    net.reset_parameters(torch.Generator().manual_seed(seed))
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.uniform_(parameter, generator=torch.Generator().manual_seed(1))
    return net.eval()


def text(string):
    return np.array([[ord(letter)] for letter in string], np.uint16)


def save_mat(path, net, *, squeeze_first=False):
    """MatConvNet's layout as MATLAB writes it: cells of references, axes in reverse."""
    with h5py.File(path, "w", userblock_size=512) as file:
        store = file.create_group("#refs#")
        layers = []
        for number, layer in enumerate(net.model):
            group = store.create_group(f"layer{number}")
            is_conv = isinstance(layer, torch.nn.Conv2d)
            group["type"] = text("conv" if is_conv else "relu")
            if is_conv:
                kernel = layer.weight.detach().numpy().swapaxes(2, 3)
                if len(kernel) == 1 or (squeeze_first and kernel.shape[1] == 1):
                    kernel = kernel.squeeze(0 if len(kernel) == 1 else 1)
                store[f"kernel{number}"] = kernel
                store[f"bias{number}"] = layer.bias.detach().numpy()[None]
                parts = [store[f"{part}{number}"].ref for part in ("kernel", "bias")]
                group["weights"] = np.array([[part] for part in parts], h5py.ref_dtype)
            layers.append(group.ref)
        file["net/layers"] = np.array([[layer] for layer in layers], h5py.ref_dtype)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(512, b"\0"))


def save_pth(path, net):
    torch.save(net.state_dict(), path)


SAVE = {".mat": save_mat, ".pth": save_pth}
formats = pytest.mark.parametrize("suffix", SAVE)


def output_of(net, image):
    with torch.no_grad():
        x = torch.from_numpy(np.moveaxis(np.atleast_3d(image), -1, 0)).float()[None]
        return net(x).clamp(0, 1)[0].numpy()


@formats
@pytest.mark.parametrize("n_channels", [1, 3])
def test_reads_sizes_and_weights(suffix, n_channels, tmp_path):
    net, path = make_network(n_channels), tmp_path / f"weights{suffix}"
    SAVE[suffix](path, net)
    model = DnCNNDenoiser.from_weights(path, channel_axis=None if n_channels == 1 else -1)
    assert (model.depth, model.width, model.batch_norm) == (DEPTH, WIDTH, False)
    image = np.random.default_rng(0).random((20, 24, n_channels)).squeeze()
    result = np.moveaxis(np.atleast_3d(model.predict(image)), -1, 0)
    np.testing.assert_allclose(result, output_of(net, image), atol=1e-6)


def test_kernels_are_not_mirrored_along_a_diagonal(tmp_path):
    net = make_network()
    save_mat(tmp_path / "w.mat", net)
    read = DnCNNDenoiser.from_weights(tmp_path / "w.mat").net_.module_
    for name, value in net.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], value, rtol=0, atol=0)


def test_first_kernel_without_its_axis_of_length_one(tmp_path):
    net = make_network()
    save_mat(tmp_path / "w.mat", net, squeeze_first=True)
    read = DnCNNDenoiser.from_weights(tmp_path / "w.mat").net_.module_
    torch.testing.assert_close(read.model[0].weight, net.model[0].weight, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_state_dicts_of_other_precision_and_prefix(dtype, tmp_path):
    net = make_network()
    state = {f"module.{name}": value.to(dtype) for name, value in net.state_dict().items()}
    torch.save(state, tmp_path / "w.pth")
    read = DnCNNDenoiser.from_weights(tmp_path / "w.pth").net_.module_.model[2].weight
    assert read.dtype == torch.float32
    torch.testing.assert_close(read, net.model[2].weight.detach(), rtol=0.01, atol=0.01)


def test_works_like_any_fitted_one(tmp_path):
    save_pth(tmp_path / "w.pth", make_network())
    X = np.random.default_rng(0).random((4, 24, 24))
    model = DnCNNDenoiser.from_weights(
        tmp_path / "w.pth", warm_start=True, patch_size=16, max_epochs=1, random_state=0
    )
    assert (model.n_iter_, model.history_) == (0, [])
    before = model.predict(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), before)
    assert np.isfinite(model.score(X))
    assert not np.array_equal(model.fit(X).predict(X), before)
    assert model.n_iter_ == 1


def test_colour_weights_ask_for_a_channel_axis(tmp_path):
    save_pth(tmp_path / "w.pth", make_network(3))
    model = DnCNNDenoiser.from_weights(tmp_path / "w.pth")
    with pytest.raises(ValueError, match=r"expected images of 3 channels.*channel_axis=None"):
        model.predict(np.zeros((20, 20)))


def test_parameters_are_checked(tmp_path):
    save_pth(tmp_path / "w.pth", make_network())
    with pytest.raises(ValueError, match="sigma must be"):
        DnCNNDenoiser.from_weights(tmp_path / "w.pth", sigma=25)
    with pytest.raises(TypeError, match="depth"):
        DnCNNDenoiser.from_weights(tmp_path / "w.pth", depth=3)


# --- bad files -----------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        DnCNNDenoiser.from_weights(tmp_path / "w.pth")


@formats
def test_truncated_anywhere(suffix, tmp_path):
    path, cut = tmp_path / f"w{suffix}", tmp_path / f"cut{suffix}"
    SAVE[suffix](path, make_network())
    data = path.read_bytes()
    for size in [*range(0, 600, 97), *np.linspace(600, len(data) - 1, 25).astype(int)]:
        cut.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"damaged|holds no DnCNN"):
            DnCNNDenoiser.from_weights(cut)


@formats
def test_damaged_bytes_raise_nothing_but_a_value_error(suffix, tmp_path):
    path, spoilt = tmp_path / f"w{suffix}", tmp_path / f"spoilt{suffix}"
    SAVE[suffix](path, make_network())
    data, rng = np.frombuffer(path.read_bytes(), np.uint8), np.random.default_rng(0)
    n_refused = 0
    for _ in range(60):
        bad = data.copy()
        places = rng.integers(len(bad), size=200)
        bad[places] = rng.integers(256, size=200)
        spoilt.write_bytes(bad.tobytes())
        try:
            DnCNNDenoiser.from_weights(spoilt)
        except ValueError:
            n_refused += 1
    assert n_refused > 0


class Bomb:
    """Creates a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("disguise", ["pickle", "torch", "torch, old", "in a state dict"])
def test_hostile_pickles_are_refused_unexecuted(disguise, tmp_path):
    path, trace = tmp_path / "w.pth", tmp_path / "executed"
    bomb = Bomb(trace)
    pickle.loads(pickle.dumps(bomb))
    assert trace.exists()  # it works where code is run
    trace.unlink()
    if disguise == "pickle":
        path.write_bytes(pickle.dumps(bomb))
    elif disguise == "in a state dict":
        torch.save({**make_network().state_dict(), "model.8.weight": bomb}, path)
    else:
        torch.save(bomb, path, _use_new_zipfile_serialization=disguise == "torch")
    with pytest.raises(ValueError, match="holds other things than weights"):
        DnCNNDenoiser.from_weights(path)
    assert not trace.exists()


def save_whole_module(path):
    torch.save(make_network(), path)


def save_a_script(path):
    """What torch takes for a script; its error then advises to trust the file."""
    torch.save(make_network().state_dict(), path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(f"{path.name}/constants.pkl", b"")


def save_training_form(path):
    torch.save(DnCNN(DEPTH, WIDTH).state_dict(), path)


def save_another_network(path):
    torch.save({"conv1.weight": torch.zeros(3, 1, 3, 3)}, path)


def save_other_kernels(path):
    torch.save({"model.0.weight": torch.zeros(3, 1, 5, 5), "model.0.bias": torch.zeros(3)}, path)


def save_no_biases(path):
    torch.save({k: v for k, v in make_network().state_dict().items() if "bias" not in k}, path)


def save_integers(path):
    torch.save({k: v.long() for k, v in make_network().state_dict().items()}, path)


def save_numbers(path):
    torch.save({"model.0.weight": 1.0, "model.0.bias": 2.0}, path)


def save_a_list(path):
    torch.save([torch.zeros(3)], path)


def save_nothing(path):
    torch.save({}, path)


def save_words(path):
    path.write_text("These are no weights.")


def save_an_archive(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data.txt", "none")


def save_other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["layers"] = np.zeros(3)


def save_hdf5_without_references(path):
    with h5py.File(path, "w") as file:
        file["net/layers"] = np.zeros(3)


def save_huge_hdf5(path):
    net = make_network()
    save_mat(path, net)
    with h5py.File(path, "r+") as file:
        del file["#refs#/kernel0"]
        huge = file.create_dataset(
            "#refs#/kernel0", (2**20, 2**20, 3, 3), "f4", chunks=(9, 9, 3, 3)
        )
        file["#refs#/layer0/weights"][0] = huge.ref


def save_many_layers(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("net/layers", (2**33, 1), h5py.ref_dtype, chunks=(9, 1))


def save_mat_with_batch_norm(path):
    save_mat(path, make_network())
    with h5py.File(path, "r+") as file:
        del file["#refs#/layer1/type"]
        file["#refs#/layer1/type"] = text("bnorm")


def save_expanded(path):
    state = make_network().state_dict()
    torch.save({**state, "model.2.weight": torch.zeros(1).expand(2**34)}, path)


def save_sparse(path):
    state = make_network().state_dict()
    torch.save({**state, "model.0.bias": torch.zeros(WIDTH).to_sparse()}, path)


def save_nan(path):
    state = make_network().state_dict()
    state["model.2.bias"][0] = torch.nan
    torch.save(state, path)


def save_old_matlab(path):
    path.write_bytes(b"MATLAB 5.0 MAT-file, Platform: PCWIN64".ljust(2000, b"\0"))


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (save_whole_module, "holds other things than weights"),
        (save_training_form, "expected keys such as model.0.weight|holds no DnCNN|damaged"),
        (save_another_network, "expected keys such as model.0.weight, got 'conv1.weight'"),
        (save_other_kernels, "holds no DnCNN: expected"),
        (save_no_biases, r"expected a weight and a bias of model.0, got \['weight'\]"),
        (save_a_script, "holds other things than weights$"),
        (save_integers, "holds no DnCNN: expected floating-point weights"),
        (save_numbers, "expected tensors, got float for 'model.0.weight'"),
        (save_a_list, "expected a state dict, got list"),
        (save_nothing, "expected a state dict, got dict"),
        (save_words, "holds other things than weights"),
        (save_an_archive, "damaged or holds other things than weights$"),
        (save_other_hdf5, "damaged or holds other things than weights$"),
        (save_hdf5_without_references, "damaged or holds other things than weights$"),
        (save_huge_hdf5, "expected arrays of at most"),
        (save_many_layers, "expected arrays of at most"),
        (save_mat_with_batch_norm, "expected convolutions, ReLUs and a loss, got a layer 'bnorm'"),
        (save_expanded, "expected dense tensors of at most"),
        (save_sparse, "expected dense tensors|holds other things than weights"),
        (save_nan, "layer 1 holds NaN or infinity"),
        (save_old_matlab, "old MATLAB version; expected 7.3"),
    ],
)
def test_other_layouts_are_refused(save, message, tmp_path):
    path = tmp_path / "weights"
    save(path)
    with pytest.raises(ValueError, match=message) as caught:
        DnCNNDenoiser.from_weights(path)
    assert str(path) in str(caught.value)


def test_training_that_goes_on_takes_its_own_seed(tmp_path):
    save_pth(tmp_path / "weights", make_network())
    X = np.random.default_rng(0).random((2, 24, 24))
    options = {"warm_start": True, "max_epochs": 1, "patch_size": 16, "device": "cpu"}
    results = [
        DnCNNDenoiser.from_weights(tmp_path / "weights", random_state=seed, **options)
        .fit(X)
        .predict(X)
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_without_h5py_it_says_what_to_install(tmp_path, monkeypatch):
    save_mat(tmp_path / "w.mat", make_network())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"sklearn_drsn\[hdf5\]"):
        DnCNNDenoiser.from_weights(tmp_path / "w.mat")
