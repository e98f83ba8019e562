"""Many episodes at once are the episodes that they would be one by one."""

import gymnasium
import numpy as np
import pytest
from hybridopt_gymnasium.slots import CartPoles, Pool, slots

from hybridopt.composition.building import build

SEEDS = np.array([3, 2**31 + 7, 11])
COPIES = 4


def spec_of(name, **settings):
    return build("dataset", {"name": name, **settings}).spec


def played_alone(spec, seed, actions):
    """The steps of one environment up to the end of its episode."""
    environment = gymnasium.make(spec.id, max_episode_steps=spec.max_steps, **spec.kwargs)
    environment.reset(seed=int(seed))
    for action in actions:
        observation, reward, terminated, truncated, _ = environment.step(action)
        yield observation, reward, terminated or truncated
        if terminated or truncated:
            return


def drawn(spec, steps, count):
    space = spec.make().action_space
    space.seed(5)
    return [[space.sample() for _ in range(count)] for _ in range(steps)]


CASES = [
    pytest.param("cartpole", {}, CartPoles, id="cartpole"),
    pytest.param("cartpole", {"max_steps": 15}, CartPoles, id="cartpole with a limit"),
    pytest.param(
        "gymnasium",
        {"id": "CartPole-v1", "kwargs": {"sutton_barto_reward": True}},
        CartPoles,
        id="cartpole with kwargs",
    ),
    pytest.param("mountain_car", {"max_steps": 30}, Pool, id="mountain_car"),
    pytest.param("acrobot", {"max_steps": 10}, Pool, id="acrobot"),
    pytest.param("pendulum", {"max_steps": 30, "g": 9.81}, Pool, id="pendulum"),
    pytest.param("gymnasium", {"id": "FrozenLake-v1"}, Pool, id="random transitions"),
]


@pytest.mark.parametrize(("name", "settings", "kind"), CASES)
def test_slots_play_what_single_environments_play(name, settings, kind):
    """Bit for bit, though episodes end at different times, and whatever happened in the slots before."""
    spec = spec_of(name, **settings)
    places = slots(spec)
    assert type(places) is kind
    count = COPIES * len(SEEDS)
    actions = drawn(spec, 120, count)
    places.reset(SEEDS + 1, COPIES)
    places.step(np.arange(count), actions[0])
    places.reset(SEEDS, COPIES)
    alone = [played_alone(spec, SEEDS[i % len(SEEDS)], [row[i] for row in actions]) for i in range(count)]
    running, lengths = np.arange(count), set()
    for step, row in enumerate(actions):
        observations, rewards, ended = places.step(running, [row[slot] for slot in running])
        expected = [next(alone[slot]) for slot in running]
        if spec.input_shape == observations.shape[1:] and name != "gymnasium":
            np.testing.assert_array_equal(observations, [observation for observation, _, _ in expected])
        np.testing.assert_array_equal(rewards, [reward for _, reward, _ in expected])
        np.testing.assert_array_equal(ended, [over for _, _, over in expected])
        lengths |= {step} if ended.any() else set()
        running = running[~ended]
        if not len(running):
            break
    assert not len(running)
    assert len(lengths) > 1 or "max_steps" in settings


def test_a_pool_leaves_ended_episodes_alone_and_closes_what_it_made():
    spec = spec_of("pendulum")
    pool = Pool(spec)
    pool.reset(SEEDS, 1)
    before = pool.environments[1].unwrapped.state.copy()
    pool.step(np.array([0, 2]), np.zeros((2, 1), np.float32))
    np.testing.assert_array_equal(pool.environments[1].unwrapped.state, before)
    closed = []
    for environment in pool.environments:
        environment.close = lambda: closed.append(1)
    del pool, environment
    assert len(closed) == len(SEEDS)
