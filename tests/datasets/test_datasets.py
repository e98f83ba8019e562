"""Every built-in data set."""

import numpy as np
import pytest
import torch

from hybridopt.composition.building import build
from hybridopt.composition.describe import REQUIRED
from hybridopt.composition.registry import find, plugins
from hybridopt.core.data import DataModule
from hybridopt.datasets.digits import digits
from hybridopt.datasets.friedman import friedman
from hybridopt.datasets.moons import moons
from hybridopt.errors import ConfigError

DATASETS = [name for name, claims in plugins("dataset").items() if any(p.distribution == "hybridopt" for p in claims)]
SETS = ("train", "val", "test")


@pytest.fixture(params=DATASETS)
def make(request, tmp_path):
    """A function that builds the data set with some settings; those without a default get a value."""
    name = f"hybridopt:{request.param}"
    needed = {p.name for p in find("dataset", name).describe().parameters if p.default is REQUIRED}
    if needed - {"path"}:
        pytest.skip(f"needs {needed}")
    config = {"name": name} | ({"path": str(own_file(tmp_path))} if needed else {})
    return lambda **settings: build("dataset", config | settings)


def own_file(folder):
    target = np.arange(90) % 3
    inputs = np.random.default_rng(0).normal(target[:, None], size=(90, 4))
    np.savez(folder / "own.npz", inputs=inputs, target=target)
    return folder / "own.npz"


def test_spec_is_true(make):
    module = make()
    assert isinstance(module, DataModule)
    for inputs, targets in module.sets.values():
        assert inputs.shape[1:] == module.spec.input_shape
        assert inputs.dtype == torch.float32
        if module.spec.task == "classification":
            assert targets.dtype == torch.int64
            assert targets.unique().tolist() == list(range(module.spec.output_size))
        else:
            assert targets.dtype == torch.float32
            assert targets.shape == (len(inputs), module.spec.output_size)


def test_values_are_finite_and_of_ordinary_size(make):
    inputs = torch.cat([make().sets[name][0] for name in SETS])
    assert inputs.isfinite().all()
    assert 0.1 < inputs.std() < 2


def test_sets_have_the_sizes_asked_for(make):
    sets = make(val_fraction=0.1, test_fraction=0.3).sets
    total = sum(len(inputs) for inputs, _ in sets.values())
    assert [len(sets[name][0]) for name in ("val", "test")] == [round(total * 0.1), round(total * 0.3)]


def test_sets_share_no_sample(make):
    rows = {name: {tuple(row) for row in inputs.flatten(1).tolist()} for name, (inputs, _) in make().sets.items()}
    everything = set.union(*rows.values())
    shared = sum(map(len, rows.values())) - len(everything)
    assert shared <= 0.01 * len(everything)  # iris holds one flower twice


def test_split_seed_fixes_the_sets(make):
    def everything(seed):
        return torch.cat([part.flatten().float() for pair in make(split_seed=seed).sets.values() for part in pair])

    assert torch.equal(everything(3), everything(3))
    assert not torch.equal(everything(3), everything(4))


def test_global_generators_have_no_say(make):
    torch.manual_seed(0)
    np.random.seed(0)
    first = make().sets["train"][0]
    torch.manual_seed(1)
    np.random.seed(1)
    assert torch.equal(first, make().sets["train"][0])


def test_batches_have_the_size_asked_for(make):
    inputs, targets = next(iter(make(batch_size=5).train_dataloader()))
    assert len(inputs) == len(targets) == 5
    module = make(batch_size=None)
    inputs, _ = next(iter(module.train_dataloader()))
    assert len(inputs) == len(module.sets["train"][0])


def test_a_bad_fraction_is_refused(make):
    with pytest.raises(ConfigError, match=r"dataset\.val_fraction"):
        make(val_fraction=0.9)


def test_inputs_tell_something_of_the_targets(make):
    """A nearest neighbour beats the prior, so inputs and targets were not shuffled apart."""
    module = make(split_seed=1)
    (inputs, targets), (queries, answers) = module.sets["train"], module.sets["test"]
    nearest = torch.cdist(queries.flatten(1), inputs.flatten(1)).topk(5, largest=False).indices
    if module.spec.task == "classification":
        guess = targets[nearest].mode(dim=1).values
        assert (guess == answers).float().mean() > answers.bincount().max() / len(answers) + 0.05
    else:
        guess = targets[nearest].mean(dim=1)
        assert (guess - answers).square().mean() < 0.9 * answers.var()


def test_digits_are_images_from_minus_one_to_one():
    module = digits()
    assert module.spec.input_shape == (1, 8, 8)
    assert sum(len(inputs) for inputs, _ in module.sets.values()) == 1797
    inputs = module.sets["train"][0]
    assert (inputs.min(), inputs.max()) == (-1, 1)


@pytest.mark.parametrize("generate", [moons, friedman])
def test_generated_sets_have_the_samples_asked_for(generate):
    assert sum(len(inputs) for inputs, _ in generate(samples=123).sets.values()) == 123


def test_moons_without_noise_lie_on_half_circles():
    clean, noisy = (np.concatenate([x for x, _ in moons(noise=n).sets.values()]) for n in (0.0, 0.3))
    assert len(np.unique(clean[:, 1].round(3))) < len(np.unique(noisy[:, 1].round(3)))


def test_friedman_has_the_features_asked_for():
    assert friedman(features=7).spec.input_shape == (7,)


@pytest.mark.parametrize(
    ("generate", "settings", "says"),
    [
        (moons, {"samples": 3}, r"dataset\.samples must be at least 10, but is 3"),
        (moons, {"noise": -0.1}, r"dataset\.noise .* is -0\.1"),
        (moons, {"split_seed": -1}, r"dataset\.split_seed"),
        (friedman, {"samples": 0}, r"dataset\.samples must be at least 10, but is 0"),
        (friedman, {"features": 4}, r"dataset\.features must be at least 5.* is 4"),
        (friedman, {"noise": float("nan")}, r"dataset\.noise .* is nan"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(generate, settings, says):
    with pytest.raises(ConfigError, match=says):
        generate(**settings)
