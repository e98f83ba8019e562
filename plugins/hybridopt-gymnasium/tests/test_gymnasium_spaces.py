"""Observations become inputs, and outputs actions."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hybridopt_gymnasium.spaces import Observations, actor

from hybridopt import ConfigError

LARGEST = np.finfo(np.float32).max


def box(low, high, dtype=np.float32):
    return spaces.Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


def test_a_bounded_value_lies_in_one_and_zero_stays_zero():
    observe = Observations(box([-1.2, -np.inf, -LARGEST, 0.0], [0.6, np.inf, LARGEST, 0.5]), "bounds")
    inputs = observe([np.array([-1.2, 7.0, 7.0, 0.5]), np.array([0.6, 0.0, 0.0, 0.0])])
    torch.testing.assert_close(inputs, torch.tensor([[-1.0, 7.0, 7.0, 1.0], [0.5, 0.0, 0.0, 0.0]]))


def test_scaling_none_leaves_values_alone():
    observe = Observations(box([-1.2], [0.6]), "none")
    assert observe(np.array([[0.3]], np.float32)).item() == pytest.approx(0.3)


def test_bytes_are_scaled_as_numbers():
    observe = Observations(box([0, 0], [255, 255], np.uint8), "bounds")
    assert observe([np.array([255, 0], np.uint8)]).tolist() == [[1.0, 0.0]]


def test_discrete_takes_the_largest_output_from_its_first_action_on():
    size, act = actor(spaces.Discrete(3, start=-1))
    assert size == 3
    assert act(torch.tensor([[0.0, 2.0, 1.0], [5.0, 2.0, 1.0]])).tolist() == [0, -1]


def test_multi_discrete_takes_the_largest_of_each_group():
    size, act = actor(spaces.MultiDiscrete([2, 3]))
    assert size == 5
    assert act(torch.tensor([[0.0, 1.0, 0.0, 0.0, 9.0]])).tolist() == [[1, 2]]


def test_multi_binary_asks_for_the_sign():
    size, act = actor(spaces.MultiBinary((2, 2)))
    assert size == 4
    assert act(torch.tensor([[0.5, -0.5, 0.0, 3.0]])).tolist() == [[[1, 0], [0, 1]]]


def test_box_is_squashed_to_its_bounds():
    size, act = actor(box([-2.0, 0.0], [2.0, 1.0]))
    assert size == 2
    actions = act(torch.tensor([[0.0, 0.0], [100.0, -100.0], [0.5, 0.5]]))
    np.testing.assert_allclose(actions[:2], [[0.0, 0.5], [2.0, 0.0]])
    np.testing.assert_allclose(actions[2], [2 * np.tanh(0.5), 0.5 + 0.5 * np.tanh(0.5)], rtol=1e-6)


def test_box_without_bounds_gets_the_output_itself_and_a_half_bound_clips():
    _, act = actor(box([-np.inf, 0.0], [np.inf, np.inf]))
    np.testing.assert_allclose(act(torch.tensor([[-3.0, -3.0], [7.0, 7.0]])), [[-3.0, 0.0], [7.0, 7.0]])


SPACES = [
    spaces.Discrete(4, start=2),
    spaces.MultiDiscrete([2, 5, 3]),
    spaces.MultiDiscrete([2, 5], start=[1, -1]),
    spaces.MultiBinary(3),
    spaces.MultiBinary((2, 2)),
    box([-1.0, -np.inf], [3.0, 5.0]),
    spaces.Box(-1.0, 1.0, (2, 3)),
    spaces.Box(-1.0, 1.0, (2,), np.float64),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_every_answer_is_an_action(space):
    size, act = actor(space)
    outputs = 3 * torch.randn(50, size, generator=torch.Generator().manual_seed(0))
    assert all(space.contains(action) for action in act(outputs))


@pytest.mark.parametrize("space", [spaces.Tuple([spaces.Discrete(2)]), spaces.Box(0, 9, (2,), np.int64)], ids=str)
def test_other_spaces_are_refused(space):
    with pytest.raises(ConfigError, match="take an environment whose actions are Discrete"):
        actor(space)


def test_the_networks_outputs_are_not_changed():
    outputs = torch.randn(5, 1)
    before = outputs.clone()
    actor(gymnasium.make("Pendulum-v1").action_space)[1](outputs)
    assert torch.equal(outputs, before)
