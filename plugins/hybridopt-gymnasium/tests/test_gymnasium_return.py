"""The return, against a rollout that is written out; what it costs, and who has a say in it."""

from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
import torch
from hybridopt_gymnasium.episode_return import ask
from hybridopt_gymnasium.spaces import Observations, actor

from hybridopt import Budget, ConfigError, Ledger, Oracle
from hybridopt.composition.building import build

MEMBERS = 5
GAMES = [
    pytest.param({"name": "cartpole"}, id="cartpole"),
    pytest.param({"name": "mountain_car", "max_steps": 25}, id="mountain_car"),
    pytest.param({"name": "mountain_car", "continuous": True, "max_steps": 25, "scaling": "none"}, id="force"),
    pytest.param({"name": "acrobot", "max_steps": 15}, id="acrobot"),
    pytest.param({"name": "pendulum", "max_steps": 25}, id="pendulum"),
    pytest.param({"name": "gymnasium", "id": "FrozenLake-v1"}, id="frozen lake"),
]


class Game:
    """An environment, a network, and a population of such networks."""

    def __init__(self, config, model="linear", **oracle):
        self.data = build("dataset", {"episodes": 3, **config})
        self.spec = self.data.spec
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.model = build("model", {"name": model}, spec=self.spec)
        self.objective = build("objective", {"name": "episode_return"}, spec=self.spec)
        self.ledger = Ledger(Budget(forwards=1e9))
        self.oracle = Oracle(self.model, self.objective, self.ledger, torch.Generator().manual_seed(0), **oracle)
        self.batch = next(iter(self.data.train_dataloader()))
        noise = torch.randn(MEMBERS, self.oracle.dimension, generator=torch.Generator().manual_seed(1))
        self.population = self.oracle.start + noise

    def outputs(self, population):
        """Returns and lengths (n, B, 2), as the oracle has them played."""
        return self.oracle.outputs(population, self.batch)

    def play(self, member, seed):
        """One episode of one network, step by step."""
        environment = gymnasium.make(self.spec.id, max_episode_steps=self.spec.max_steps, **self.spec.kwargs)
        if not isinstance(environment.observation_space, gymnasium.spaces.Box):
            environment = gymnasium.wrappers.FlattenObservation(environment)
        observe = Observations(environment.observation_space, self.spec.scaling)
        _, act = actor(environment.action_space)
        self.oracle.assign(member)
        observation, _ = environment.reset(seed=int(seed))
        total, steps, over = 0.0, 0, False
        while not over:
            with torch.no_grad():
                action = act(self.model(observe(observation[None])))[0]
            observation, reward, terminated, truncated, _ = environment.step(action)
            total, steps, over = total + reward, steps + 1, terminated or truncated
        return total, steps


@pytest.mark.parametrize("config", GAMES)
@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_a_population_plays_as_each_of_its_members_alone(config, model):
    game = Game(config, model)
    expected = [[game.play(member, seed) for seed in game.batch[1]] for member in game.population]
    torch.testing.assert_close(
        game.outputs(game.population), torch.tensor(np.array(expected), dtype=torch.float32), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("config", GAMES)
def test_a_loss_is_minus_the_mean_return_whoever_else_plays(config):
    game = Game(config)
    losses = game.oracle.losses(game.population, game.batch)
    torch.testing.assert_close(losses, -game.outputs(game.population)[..., 0].mean(1))
    one_by_one = torch.cat([game.oracle.losses(member[None], game.batch) for member in game.population])
    torch.testing.assert_close(losses, one_by_one, rtol=1e-4, atol=1e-4)
    backwards = game.oracle.losses(game.population.flip(0), game.batch).flip(0)
    torch.testing.assert_close(losses, backwards, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("oracle", [{"chunk": 2}, {"mode": "loop"}, {"mode": "vmap"}])
def test_how_a_population_is_run_does_not_matter(oracle):
    game, other = Game({"name": "cartpole"}), Game({"name": "cartpole"}, **oracle)
    torch.testing.assert_close(game.outputs(game.population), other.outputs(other.population))


def test_the_same_batch_gives_the_same_losses_again_and_another_batch_others():
    game = Game({"name": "pendulum", "max_steps": 25})
    before = game.oracle.losses(game.population, game.batch)
    other = [batch for batch, _ in zip(iter(game.data.train_dataloader()), range(2), strict=False)][1]
    assert not torch.equal(game.oracle.losses(game.population, other), before)
    assert torch.equal(game.oracle.losses(game.population, game.batch), before)


def test_a_pass_is_charged_for_as_many_rows_as_the_member_with_most_episodes_has():
    game = Game({"name": "cartpole"})
    lengths = game.outputs(game.population)[..., 1]
    before = game.ledger.forwards
    game.oracle.losses(game.population, game.batch)
    still_running = [(lengths > step).sum(1).max().item() for step in range(int(lengths.max()))]
    assert game.ledger.forwards - before == MEMBERS * sum(still_running)
    assert len(set(still_running)) > 1
    before = game.ledger.forwards
    game.oracle.losses(game.population[:1], game.batch)
    assert game.ledger.forwards - before == lengths[0].sum()  # nobody to be padded for


def test_each_row_is_asked_of_its_own_member():
    observations, members = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([0, 2, 2, 3])
    factors = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0])
    answers = ask(lambda inputs: inputs * factors[:, None, None], observations, members, 5)
    assert answers.flatten().tolist() == [10.0, 60.0, 90.0, 160.0]


@pytest.mark.parametrize("config", [{"name": "cartpole"}, {"name": "pendulum", "max_steps": 5}])
def test_a_network_that_answers_nan_fails_and_the_others_do_not_care(config):
    game = Game(config)
    whole = game.oracle.losses(game.population, game.batch)
    game.population[1] = torch.nan
    game.population[3, 0] = torch.inf
    losses = game.oracle.losses(game.population, game.batch)
    assert losses[1] == torch.inf
    torch.testing.assert_close(losses[[0, 2, 4]], whole[[0, 2, 4]])
    assert game.outputs(game.population)[1, :, 1].tolist() == [1.0] * len(game.batch[1])


def test_the_validation_is_the_return_of_the_network_itself():
    game = Game({"name": "cartpole"})
    game.oracle.assign(game.population[0])
    with torch.no_grad():
        outputs = game.objective.outputs(lambda rows: game.model(rows if rows.ndim == 2 else rows[0])[None], game.batch)
    torch.testing.assert_close(outputs, game.outputs(game.population[:1]))


def test_metrics_are_those_of_all_episodes():
    game = Game({"name": "cartpole"})
    metrics = game.objective.metrics(game.spec)
    returns, seeds = np.array([500.0, 474.0, 475.0, 10.0, 20.0]), torch.zeros(5)
    outputs = torch.tensor(np.stack([returns, returns / 2], axis=1))
    metrics.update(outputs[:2], seeds[:2])
    metrics.update(outputs[2:], seeds[2:])
    computed = {name: value.item() for name, value in metrics.compute().items()}
    expected = {"return": returns.mean(), "return_std": returns.std(), "length": returns.mean() / 2, "solved": 0.4}
    assert computed == pytest.approx(expected)
    assert game.objective.loss(outputs, seeds).item() == pytest.approx(-returns.mean())
    metrics.reset()
    metrics.update(outputs[:1], seeds[:1])
    assert metrics.compute()["return"] == 500


def test_nothing_is_said_of_solving_where_there_is_no_threshold():
    game = Game({"name": "pendulum"})
    assert set(game.objective.metrics(game.spec)) == {"return", "return_std", "length"}


def test_another_process_gets_the_objective_without_its_environments():
    game = Game({"name": "pendulum", "max_steps": 5})
    before = game.oracle.losses(game.population, game.batch)
    game.objective = game.oracle.objective = pickle.loads(pickle.dumps(game.objective))
    assert torch.equal(game.oracle.losses(game.population, game.batch), before)


def test_environments_are_closed_with_the_objective():
    game = Game({"name": "pendulum", "max_steps": 5})
    game.oracle.losses(game.population, game.batch)
    closed = []
    for environment in game.objective._game.slots.environments:
        environment.close = lambda: closed.append(1)
    del game, environment
    assert len(closed) == MEMBERS * 3


def test_no_other_data_set_is_played():
    with pytest.raises(ConfigError, match=r"the data set is a classification problem: .* dataset=cartpole"):
        build("objective", {"name": "episode_return"}, spec=build("dataset", {"name": "moons"}).spec)
