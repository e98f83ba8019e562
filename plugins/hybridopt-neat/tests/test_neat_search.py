"""The strategy: what it refuses, and how it searches."""

import pytest
import torch
from hybridopt_neat.neat_search import NEAT

from hybridopt import Budget, ConfigError, DataSpec, Ledger, Oracle
from hybridopt.composition import building
from hybridopt.testing.by_hand import begin, deploy


def problem(dataset="xor", objective="mse", model=None, seed=0, **settings):
    """The oracle, a strategy that has begun there, and the batch."""
    data = building.build("dataset", {"name": dataset})
    torch.manual_seed(seed)
    supplied = {"spec": data.spec}
    parts = {
        "model": building.build("model", {"name": "genome_network", **(model or {})}, **supplied),
        "objective": building.build("objective", {"name": objective}, **supplied),
    }
    generator = torch.Generator().manual_seed(seed)
    oracle = Oracle(**parts, ledger=Ledger(Budget(forwards=1e9)), generator=generator)
    strategy = NEAT(**settings)
    begin(strategy, oracle, data.sets["train"])
    return oracle, strategy, data.sets["train"]


def test_xor_is_solved():
    oracle, strategy, batch = problem(conn_delete_prob=0.0, node_delete_prob=0.0)
    for _ in range(100):
        if strategy.step(oracle, batch)["loss"] < 0.025:
            break
    deploy(strategy, oracle)
    outputs = oracle.model(batch[0])
    assert (outputs.round() == batch[1]).all()
    facts = strategy.facts()
    assert int(facts["neat.hidden_nodes"]) >= 1  # there is no way without
    assert "x0>" in facts["neat.champion"]
    assert int(facts["neat.generations"]) > 1


def test_each_generation_costs_its_members():
    oracle, strategy, batch = problem(popsize=20, elitism=0)
    strategy.step(oracle, batch)
    assert oracle.ledger.forwards == 20 * 4
    strategy.step(oracle, batch)  # the champion comes on top, since without elitism nobody goes on
    assert oracle.ledger.forwards == (20 + 21) * 4


def test_the_recommendation_is_the_champion_and_evaluable_at_any_time():
    oracle, strategy, batch = problem(popsize=20)
    assert torch.equal(strategy.recommend(), oracle.start)
    for _ in range(5):
        best = strategy.step(oracle, batch)["loss"]
        assert oracle.losses(strategy.recommend()[None], batch)[0] == pytest.approx(float(best), rel=1e-5)


def test_a_network_of_several_functions_is_searched():
    oracle, strategy, batch = problem(model={"activations": ["sigmoid", "sin", "gauss"]}, activation_mutate_rate=0.2)
    for _ in range(30):
        loss = strategy.step(oracle, batch)["loss"]
    assert loss < 0.1
    names = {gene.activation for genome in strategy._evolution.population.values() for gene in genome.nodes.values()}
    assert names == {"sigmoid", "sin", "gauss"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"popsize": 1}, r"strategy\.popsize must be at least 2, but is 1"),
        ({"weight_mutate_rate": 1.5}, r"strategy\.weight_mutate_rate must lie in \[0, 1\], but is 1\.5"),
        ({"node_add_prob": -0.1}, r"strategy\.node_add_prob must lie in \[0, 1\], but is -0\.1"),
        ({"bias_init_stdev": -1.0}, r"strategy\.bias_init_stdev must be at least 0"),
        ({"compatibility_threshold": float("nan")}, r"strategy\.compatibility_threshold must be a finite number"),
        ({"weight_min_value": 40.0}, r"strategy\.weight_min_value must not exceed strategy\.weight_max_value"),
        ({"elitism": 30, "popsize": 20}, r"make a species of 30, more than the population.* from 20"),
    ],
)
def test_a_bad_setting_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        NEAT(**settings)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": {"name": "mlp"}}, r"has the parameters .*: type model=genome_network"),
        ({"num_hidden": 20}, r"strategy\.num_hidden=20 .* raise model\.max_hidden from 16"),
        (
            {"model": {"activations": ["tanh", "relu"]}, "activation_default": "tan"},
            r"strategy\.activation_default .* but is 'tan'\. Did you mean 'tanh'",
        ),
    ],
)
def test_what_does_not_fit_is_refused(settings, says):
    with pytest.raises(ConfigError, match=says):
        problem(**settings)


@pytest.mark.parametrize(("task", "objective"), [("regression", "mse"), ("classification", "cross_entropy")])
def test_the_data_set_is_exclusive_or(task, objective):
    data = building.build("dataset", {"name": "xor", "task": task})
    inputs, targets = next(iter(data.train_dataloader()))
    assert data.spec == DataSpec((2,), 1 if task == "regression" else 2, task)
    assert [int(a) ^ int(b) for a, b in inputs] == targets.flatten().tolist()
    loss = building.build("objective", {"name": objective}, spec=data.spec)
    model = building.build("model", {"name": "genome_network"}, spec=data.spec)
    assert torch.isfinite(loss.loss(model(inputs), targets))
