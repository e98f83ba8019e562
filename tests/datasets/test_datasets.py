"""What built-in data sets promise beyond the kit's checks."""

import numpy as np
import pytest
import torch

from hybridopt.composition.building import build
from hybridopt.composition.describe import REQUIRED
from hybridopt.composition.registry import find, plugins
from hybridopt.datasets.detour import detour
from hybridopt.datasets.digits import digits
from hybridopt.datasets.friedman import friedman
from hybridopt.datasets.moons import moons
from hybridopt.datasets.tones import tones
from hybridopt.errors import ConfigError

DATASETS = [name for name, claims in plugins("dataset").items() if any(p.distribution == "hybridopt" for p in claims)]
SETS = ("train", "val", "test")
SPREAD = {"tones": 3.0}  # the largest standard deviation where it is not 2: times from -5 to 5


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


def test_values_are_of_single_precision_and_ordinary_size(make, request):
    inputs = torch.cat([make().sets[name][0] for name in SETS])
    assert inputs.dtype == torch.float32
    assert 0.1 < inputs.std() < SPREAD.get(request.node.callspec.params["make"], 2)


def test_sets_have_the_sizes_asked_for(make):
    sets = make(val_fraction=0.1, test_fraction=0.3).sets
    total = sum(len(inputs) for inputs, _ in sets.values())
    assert [len(sets[name][0]) for name in ("val", "test")] == [round(total * 0.1), round(total * 0.3)]


def test_another_split_seed_gives_other_sets(make):
    def everything(seed):
        return torch.cat([part.flatten().float() for pair in make(split_seed=seed).sets.values() for part in pair])

    assert not torch.equal(everything(3), everything(4))


def test_batches_have_the_size_asked_for(make):
    inputs, targets = next(iter(make(batch_size=5).train_dataloader()))
    assert len(inputs) == len(targets) == 5
    module = make(batch_size=None)
    inputs, _ = next(iter(module.train_dataloader()))
    assert len(inputs) == len(module.sets["train"][0])


def test_a_bad_fraction_is_refused(make):
    with pytest.raises(ConfigError, match=r"dataset\.val_fraction"):
        make(val_fraction=0.9)


def test_digits_are_images_from_minus_one_to_one():
    module = digits()
    assert module.spec.input_shape == (1, 8, 8)
    assert sum(len(inputs) for inputs, _ in module.sets.values()) == 1797
    inputs = module.sets["train"][0]
    assert (inputs.min(), inputs.max()) == (-1, 1)


@pytest.mark.parametrize("generate", [moons, friedman, tones, detour])
def test_generated_sets_have_the_samples_asked_for(generate):
    assert sum(len(inputs) for inputs, _ in generate(samples=123).sets.values()) == 123


def test_moons_without_noise_lie_on_half_circles():
    clean, noisy = (np.concatenate([x for x, _ in moons(noise=n).sets.values()]) for n in (0.0, 0.3))
    assert len(np.unique(clean[:, 1].round(3))) < len(np.unique(noisy[:, 1].round(3)))


def test_a_tone_is_a_sine_and_many_frequencies_look_best_from_near():
    """The error over the frequency has one minimum that explains all but the noise, and many others."""
    times, values = (part.numpy() for part in tones(tones=1, noise=0.0).sets["train"])
    waves = [np.hstack([np.sin(w * times), np.cos(w * times)]) for w in np.linspace(0.5, 6, 551)]
    left = [np.square(values - wave @ np.linalg.lstsq(wave, values, rcond=None)[0]).mean() for wave in waves]
    minima = [b for a, b, c in zip(left, left[1:], left[2:], strict=False) if b < min(a, c)]
    assert min(left) < 1e-3
    assert sum(value > 0.1 for value in minima) >= 5


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
        (tones, {"tones": 0}, r"dataset\.tones must be between 1 and 10, but is 0"),
        (tones, {"noise": -1.0}, r"dataset\.noise .* is -1"),
        (detour, {"spread": 0.5}, r"dataset\.spread must be between 0\.001 and 0\.3, but is 0\.5"),
    ],
)
def test_a_bad_setting_is_refused_in_one_sentence(generate, settings, says):
    with pytest.raises(ConfigError, match=says):
        generate(**settings)
