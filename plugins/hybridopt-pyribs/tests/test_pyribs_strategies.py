"""What the strategies keep, recommend, hand over and write; how they resume; and what they refuse."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from ribs_problems import BATCH, DIMENSION, MEASURES, NAMES, RANGES, ROWS, begun, build, oracle_of, saved
from safetensors.torch import load_file
from torch import Tensor, nn

from hybridopt import Budget, ConfigError, Handover, Ledger, Oracle, Strategy
from hybridopt.composition import building
from hybridopt.core.compatibility import check_compatible
from hybridopt.testing.by_hand import begin

SMALL = {"popsize": 12, "sigma": 0.3, "cells": 8}
each = pytest.mark.parametrize("name", NAMES)


def stepped(strategy: Strategy, oracle: Oracle, count: int, batch: Any = BATCH) -> Any:
    for _ in range(count):
        strategy.step(oracle, batch)
    return strategy


def shifted(level: float) -> Any:
    """A batch on which all losses are higher or lower by chance."""
    return BATCH[0], BATCH[1] + level


# -- what they keep and recommend -------------------------------------------------------------------------------------


@each
def test_the_best_elite_is_recommended_where_the_batch_repeats(name: str) -> None:
    oracle = oracle_of()
    strategy = begun(name, oracle, **SMALL)
    assert torch.equal(strategy.recommend(), oracle.start)
    record = stepped(strategy, oracle, 30).step(oracle, BATCH)
    losses = (strategy.elites() ** 2).mean(1)
    assert torch.equal(losses, losses.sort().values)
    assert losses[0] < 0.1 < losses[-1]
    assert torch.equal(strategy.recommend(), strategy.elites()[0])
    assert record["elites"] == len(losses) == 64 * record["coverage"] > 20
    assert record["qd_score"] == pytest.approx(float((0.25 - losses).clamp(min=0).sum()))


@each
def test_a_step_costs_its_candidates_and_the_gradients(name: str) -> None:
    oracle = oracle_of()
    strategy = begun(name, oracle, **SMALL, **({} if name == "map_elites" else {"emitters": 2}))
    before = oracle.ledger.forwards
    assert before == ROWS  # the start
    strategy.step(oracle, BATCH)
    members = 12 if name == "map_elites" else 24
    gradients = 3 * 3 * 2 if name == "cma_mega" else 0  # of the loss and of two measures, at two centres
    assert oracle.ledger.forwards - before == ROWS * (members + gradients)


@each
def test_the_best_elites_are_evaluated_again_on_each_new_batch(name: str) -> None:
    """A lucky batch is forgotten: what counts is the mean, and it keeps nobody out."""
    oracle = oracle_of(repeats=False)
    strategy = begun(name, oracle, shifted(0.5), finalists=3, **SMALL)  # the start is the optimum of this batch
    spent = oracle.ledger.forwards
    stepped(strategy, oracle, 1, shifted(-0.5))
    emitted = 12 * (1 if name in ("map_elites", "cma_mega") else 3)
    assert oracle.ledger.forwards - spent == ROWS * (1 + emitted + (9 if name == "cma_mega" else 0))
    archive = strategy._library.result
    place = np.flatnonzero((archive.data("solution") == 0.5).all(1))
    if len(place):  # the start has not lost its place yet
        assert archive.data("times")[place[0]] == 2
        assert archive.losses[place[0]] == pytest.approx(0.5)
        assert archive.data("threshold")[place[0]] == pytest.approx(-0.5)
    assert torch.equal(strategy.recommend(), oracle.start)  # the others have been seen once
    spent = oracle.ledger.forwards
    stepped(strategy, oracle, 1, shifted(-0.5))
    assert oracle.ledger.forwards - spent == ROWS * (3 + emitted + (9 if name == "cma_mega" else 0))
    stepped(strategy, oracle, 10, shifted(-0.5))
    assert ((strategy.recommend() + 0.5) ** 2).mean() < 0.8


@each
def test_failures_enter_no_archive(name: str) -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(DIMENSION, dtype=torch.float64))

        def forward(self, inputs: Tensor) -> Tensor:
            outputs = torch.where(self.weight > 0.2, math.inf, self.weight)
            return outputs.expand(len(inputs), -1)

    oracle = Oracle(
        Failing(),
        building.build("objective", {"name": "mse"}),
        Ledger(Budget(forwards=1e9)),
        torch.Generator().manual_seed(0),
    )
    oracle.feed.unchanged = True
    strategy = stepped(begun(name, oracle, worst=1.0, **SMALL), oracle, 20)
    assert (strategy.elites() <= 0.2).all()
    assert len(strategy.elites()) > 3


def test_measures_that_compare_have_the_start_as_their_reference() -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    objective = building.build("objective", {"name": "cross_entropy"})
    settings = {"name": "map_elites", "measures": {"other": {"name": "disagreement"}}, "popsize": 10, "cells": 10}
    batches = [(torch.randn(20, 4), torch.randint(3, (20,))) for _ in range(2)]
    for repeats, passes in ((True, 2 + 10 + 10), (False, 2 + 1 + 1 + 10 + 1 + 8 + 10)):
        oracle = Oracle(model, objective, Ledger(Budget(forwards=1e9)), torch.Generator().manual_seed(0))
        oracle.feed.unchanged = repeats
        strategy: Any = begin(building.build("strategy", settings | {"sigma": 1.0}), oracle, batches[0])
        archive = strategy._library.result
        assert archive.data("measures").tolist() == [[0.0]]
        for batch in batches[:1] * 2 if repeats else batches:
            few = len(archive)
            strategy.step(oracle, batch)
        lacking = 0 if repeats else 8 - min(8, few)  # finalists that there were not yet
        assert oracle.ledger.forwards == 20 * (passes - lacking)
        if repeats:
            start = model(batches[0][0]).argmax(1)
            elites = oracle.outputs(strategy.vectors(archive.data("solution")), batches[0]).argmax(-1)
            expected = (elites != start).double().mean(1).numpy()
            np.testing.assert_allclose(archive.data("measures")[:, 0], expected, atol=1e-6)
            assert len(archive) > 3


# -- phases -----------------------------------------------------------------------------------------------------------


@each
def test_elites_are_handed_over_and_taken(name: str) -> None:
    oracle = oracle_of()
    given = stepped(begun(name, oracle, **SMALL), oracle, 10).handover().population
    assert given is not None
    heir = begun(name, oracle_of().inheriting(Handover(population=given)), **SMALL)
    best = (heir.recommend() ** 2).mean()
    assert best == (given**2).mean(1).min() < 0.25
    assert len(heir.elites()) >= len(given)


# -- checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("map_elites", {}),
        ("map_elites", {"variation": "gaussian"}),
        ("cma_me", {"ranker": "random_direction", "covariance": "full"}),
        ("cma_me", {"covariance": "diagonal"}),
        ("cma_mae", {}),
        ("cma_mega", {"optimizer": "adam", "emitters": 2}),
    ],
)
@pytest.mark.parametrize("steps", [0, 1, 17])
def test_resumed_equals_uninterrupted(name: str, settings: dict[str, Any], steps: int) -> None:
    oracle = oracle_of(repeats=False)
    strategy = stepped(begun(name, oracle, **SMALL, **settings), oracle, steps, shifted(0.1))
    state, noise = saved(strategy), oracle.generator.get_state()
    stepped(strategy, oracle, 10)

    other = oracle_of(seed=9, repeats=False)
    again = build(name, **SMALL, **settings)
    again.load_state_dict(state)
    again.attach(other)
    other.generator.set_state(noise)
    stepped(again, other, 10)
    for key, value in saved(strategy)["_extra_state"]["library"]["archives"][-1].items():
        assert torch.equal(value, saved(again)["_extra_state"]["library"]["archives"][-1][key]), key
    assert torch.equal(strategy.recommend(), again.recommend())
    assert torch.equal(oracle.generator.get_state(), other.generator.get_state())


@each
def test_a_saved_state_does_not_move_along(name: str) -> None:
    oracle = oracle_of()
    strategy = stepped(begun(name, oracle, **SMALL), oracle, 3)
    state, twin = strategy.state_dict(), saved(strategy)
    stepped(strategy, oracle, 3)
    assert str(state["_extra_state"]) == str(twin["_extra_state"])


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_archive_is_written_as_a_table_weights_and_a_picture(count: int, tmp_path: Path) -> None:
    names = ["x", "y", "z"][:count]
    measures = {name: {"name": "mean_output", "index": i} for i, name in enumerate(names)}
    oracle = oracle_of()
    strategy = begun("map_elites", oracle, measures=measures, ranges={name: [-1, 1] for name in names}, **SMALL)
    stepped(strategy, oracle, 10).artifacts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"archive.parquet", "archive.safetensors", "archive.png"}
    table = pd.read_parquet(tmp_path / "archive.parquet")
    weights = load_file(tmp_path / "archive.safetensors")["weight"]
    assert list(table) == ["cell", *(f"measures.{name}" for name in names), "loss", "batches", "weights"]
    assert len(table) == len(weights) == strategy.scores()["elites"] > 5
    assert table["loss"].is_monotonic_increasing
    for row, one in zip(table.itertuples(index=False), weights, strict=True):
        assert row.loss == pytest.approx(float((one**2).mean()))
        assert row[1] == pytest.approx(float(one[0]))
        assert row.weights == hashlib.sha256(one.numpy().tobytes()).hexdigest()
    with Image.open(tmp_path / "archive.png") as picture:
        assert picture.size[0] > 400


def test_what_has_not_begun_writes_nothing(tmp_path: Path) -> None:
    build("map_elites").artifacts(tmp_path)
    assert list(tmp_path.iterdir()) == []


# -- refusals ---------------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cells": 0}, "strategy.cells must be at least 1, but is 0"),
        ({"finalists": 0}, "strategy.finalists must be at least 1, but is 0"),
        ({"cells": 2000}, "strategy.cells=2000 of each of 2 measures are 4,000,000 cells: lower it"),
        ({"sigma": 0.0}, "strategy.sigma must be a positive number, but is 0"),
        ({"worst": math.inf}, "strategy.worst must be a finite number"),
        ({"popsize": 0}, "strategy.popsize must be at least"),
        ({"ranges": {"x": [-1, 1]}}, "strategy.measures.y, MeanOutput, has no range of its own: type"),
    ],
)
def test_bad_values_are_refused(name: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        build(name, **settings)


def test_a_full_covariance_is_refused_in_high_dimensions() -> None:
    oracle = Oracle(
        nn.Linear(1000, 3),
        building.build("objective", {"name": "mse"}),
        Ledger(Budget(forwards=1e9)),
        torch.Generator().manual_seed(0),
    )
    batch = (torch.zeros(1, 1000), torch.zeros(1, 3))
    with pytest.raises(ConfigError, match=r"more than 2000 dimensions, here 3003: type strategy.covariance=diagonal"):
        begin(build("cma_me", covariance="full"), oracle, batch)
    begin(build("cma_me"), oracle, batch).step(oracle, batch)


def test_what_a_measure_refuses_is_told_by_its_place() -> None:
    measures = {**MEASURES, "z": {"name": "mean_output", "index": 6}}
    with pytest.raises(ConfigError, match=r"^strategy.measures.z.index must be one of the network's outputs, 0 to 5"):
        begun("map_elites", oracle_of(), measures=measures, ranges={**RANGES, "z": [0, 1]})


def test_gradients_are_asked_of_what_has_some() -> None:
    with pytest.raises(ConfigError, match=r"strategy.measures.zeros, ZeroWeights, has no gradient.*strategy=cma_mae"):
        build("cma_mega", measures={**MEASURES, "zeros": {"name": "zero_weights"}}, ranges=RANGES)
    with pytest.raises(ConfigError, match="CmaMega needs a gradient and the objective ZeroOne has none"):
        check_compatible(building.build("objective", {"name": "zero_one"}), build("cma_mega"), None, None)
