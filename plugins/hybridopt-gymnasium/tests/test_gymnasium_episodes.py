"""Environments as data sets."""

from __future__ import annotations

import itertools

import gymnasium
import numpy as np
import pytest
import torch
from hybridopt_gymnasium.environment import EnvironmentSpec

from hybridopt import ConfigError
from hybridopt.composition.building import build
from hybridopt.composition.describe import REQUIRED
from hybridopt.composition.registry import find, names

ENVIRONMENTS = [
    name for name in names("dataset") if find("dataset", name).distribution == "hybridopt-gymnasium"
]  # none of our names is claimed by another package here


@pytest.fixture(params=ENVIRONMENTS)
def make(request):
    """A function that builds the data set with some settings."""
    needed = {p.name for p in find("dataset", request.param).describe().parameters if p.default is REQUIRED}
    given = {"id": "MountainCarContinuous-v0"} if needed else {}
    return lambda **settings: build("dataset", {"name": request.param, **given, **settings})


def first(batches, count=1):
    return list(itertools.islice(iter(batches), count))


def test_spec_is_true(make):
    module = make()
    spec = module.spec
    assert isinstance(spec, EnvironmentSpec)
    inputs, targets = first(module.train_dataloader())[0]
    assert inputs.shape == (module.episodes, *spec.input_shape)
    assert (inputs.dtype, targets.dtype, targets.shape) == (torch.float32, torch.int64, (module.episodes,))
    environment = gymnasium.make(spec.id)
    assert spec.max_steps == environment.spec.max_episode_steps
    assert spec.threshold == environment.spec.reward_threshold


def test_an_input_is_the_first_observation_of_the_episode_of_its_seed(make):
    module = make(scaling="none")
    environment = gymnasium.make(module.spec.id)
    for inputs, seeds in [*first(module.train_dataloader(), 2), *module.val_dataloader(), *module.test_dataloader()]:
        expected = np.stack([environment.reset(seed=seed)[0] for seed in seeds.tolist()])
        np.testing.assert_array_equal(inputs, expected)


def test_no_episode_is_met_twice(make):
    module = make(episodes=7)
    training = torch.cat([seeds for _, seeds in first(module.train_dataloader(), 20)])
    val, test = (next(iter(loader))[1] for loader in (module.val_dataloader(), module.test_dataloader()))
    assert (len(val), len(test)) == (20, 100)
    together = torch.cat([training, val, test])
    assert len(together.unique()) == len(together)


def test_seeds_choose_the_episodes(make):
    def of(batch_seed, split_seed):
        module = make(split_seed=split_seed)
        module.batch_seed = batch_seed
        loaders = (module.train_dataloader(), module.val_dataloader(), module.test_dataloader())
        return [next(iter(loader))[1].tolist() for loader in loaders]

    assert of(0, 0) == of(0, 0)
    (train, val, test), (other_train, same_val, same_test) = of(0, 0), of(1, 0)
    assert (val, test) == (same_val, same_test)
    assert not set(train) & set(other_train)
    _, other_val, other_test = of(0, 1)
    assert not set(val) & set(other_val)
    assert not set(test) & set(other_test)


def test_the_last_of_all_seeds_is_followed_by_the_first(make):
    module = make(episodes=3)
    stream = module.train_dataloader()
    stream.load_state_dict({"epoch": 2**29, "position": 0})
    for _, seeds in first(stream, 3):
        assert len(seeds.unique()) == 3
        assert 0 <= seeds.min() <= seeds.max() < 2**29


def test_a_resumed_stream_reads_on(make):
    module = make()
    whole = [seeds.tolist() for _, seeds in first(module.train_dataloader(), 5)]
    stream, again = module.train_dataloader(), module.train_dataloader()
    read = [seeds.tolist() for _, seeds in first(stream, 2)]
    again.load_state_dict(stream.state_dict())
    assert read + [seeds.tolist() for _, seeds in first(again, 3)] == whole


def test_global_generators_have_no_say(make):
    np.random.seed(0)
    torch.manual_seed(0)
    before = next(iter(make().test_dataloader()))[0]
    np.random.seed(1)
    torch.manual_seed(1)
    assert torch.equal(before, next(iter(make().test_dataloader()))[0])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"episodes": 0}, r"dataset\.episodes must be between 1 and 536870911, but is 0"),
        ({"val_episodes": -1}, r"dataset\.val_episodes must be between 1 and 536870911, but is -1"),
        ({"test_episodes": 0}, r"dataset\.test_episodes"),
        ({"split_seed": -1}, r"dataset\.split_seed must be at least 0, but is -1"),
        ({"max_steps": 0}, r"dataset\.max_steps must be at least 1, but is 0"),
        ({"scaling": "unit"}, r"dataset\.scaling must be one of bounds, none"),
    ],
)
def test_a_bad_setting_is_refused(make, settings, says):
    with pytest.raises(ConfigError, match=says):
        make(**settings)


def test_mountain_car_may_have_a_force():
    spec = build("dataset", {"name": "mountain_car", "continuous": True}).spec
    assert (spec.id, spec.output_size) == ("MountainCarContinuous-v0", 1)


def test_pendulum_is_made_with_its_gravity():
    spec = build("dataset", {"name": "pendulum", "g": 3.7}).spec
    assert spec.make().unwrapped.g == 3.7


@pytest.mark.parametrize(
    ("id", "settings", "shape", "outputs"),
    [
        ("FrozenLake-v1", {"kwargs": {"map_name": "8x8"}}, (64,), 4),
        ("Taxi-v4", {}, (500,), 6),
        ("Blackjack-v1", {"max_steps": 50}, (32 + 11 + 2,), 2),
    ],
)
def test_discrete_and_composed_observations_are_one_hot(id, settings, shape, outputs):
    module = build("dataset", {"name": "gymnasium", "id": id, **settings})
    assert (module.spec.input_shape, module.spec.output_size) == (shape, outputs)
    inputs, _ = next(iter(module.val_dataloader()))
    assert set(inputs.unique().tolist()) == {0.0, 1.0}


class Odd(gymnasium.Env):
    """Observes what it is told to."""

    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, space: gymnasium.Space):
        self.observation_space = space


@pytest.fixture(scope="module", autouse=True)
def _odd_environments():
    spaces = gymnasium.spaces
    images, sequences = spaces.Box(0, 255, (96, 96, 3), np.uint8), spaces.Sequence(spaces.Discrete(3))
    for id, space in (("Images-v0", images), ("Sequences-v0", sequences)):
        gymnasium.register(id, Odd, kwargs={"space": space}, max_episode_steps=5)
    yield
    for id in ("Images-v0", "Sequences-v0"):
        gymnasium.registry.pop(id)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"id": "CartPol-v1"}, r"There is no environment called 'CartPol-v1'\. Did you mean 'CartPole-v1'"),
        ({"id": "CartPole"}, r"no environment called 'CartPole'\. Did you mean 'CartPole-v1'"),
        ({"id": "CartPole-v9"}, r"no environment called 'CartPole-v9'\. Did you mean 'CartPole-v1'"),
        ({"id": "?"}, r"no environment called '\?'\. gymnasium\.pprint_registry\(\) lists all"),
        ({"id": "Pendulum-v1", "kwargs": {"gravity": 3}}, r"kwargs \{gravity: 3\}: .* argument 'gravity'\.$"),
        ({"id": "phys2d/CartPole-v1"}, r"phys2d/CartPole-v1 needs more than gymnasium itself: .*jax"),
        ({"id": "CliffWalking-v1"}, r"no time limit: give it one, such as dataset\.max_steps=1000"),
        ({"id": "Images-v0"}, r"Images-v0 observes images of shape \(96, 96, 3\)"),
        ({"id": "Sequences-v0"}, r"Sequences-v0 observes a Sequence space"),
        ({"id": "os:Thing-v0"}, r"say so, by dataset\.id=Thing-v0 dataset\.package=os"),
        ({"id": "CartPole-v1", "package": "not_there"}, r"dataset\.package=not_there cannot be imported"),
    ],
)
def test_an_environment_that_cannot_be_played_is_refused_in_a_sentence(settings, says):
    if "jax" in says and find_spec_of("jax"):
        pytest.skip("jax is installed")
    with pytest.raises(ConfigError, match=says) as refusal:
        build("dataset", {"name": "gymnasium", **settings})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("id", "library", "extra"), [("LunarLander-v3", "Box2D", "box2d"), ("HalfCheetah-v5", "mujoco", "mujoco")]
)
def test_a_missing_extra_is_named(id, library, extra):
    if find_spec_of(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(
        ConfigError, match=rf'{id} needs more than gymnasium itself: .*pip install "gymnasium\[{extra}\]"'
    ):
        build("dataset", {"name": "gymnasium", "id": id})


def find_spec_of(module):
    from importlib.util import find_spec

    return find_spec(module)


def test_a_package_is_imported_to_register_its_environments(tmp_path, monkeypatch):
    (tmp_path / "arcade_of_mine.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Mine-v0', 'gymnasium.envs.classic_control:PendulumEnv', max_episode_steps=7)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    spec = build("dataset", {"name": "gymnasium", "id": "Mine-v0", "package": "arcade_of_mine"}).spec
    assert (spec.id, spec.max_steps, spec.package) == ("Mine-v0", 7, "arcade_of_mine")
    gymnasium.registry.pop("Mine-v0")
