"""The strategies do what pyribs' own loop does: the same elites after each step, from the same draws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from ribs.archives import GridArchive
from ribs.emitters import EvolutionStrategyEmitter, GaussianEmitter, GradientArborescenceEmitter, IsoLineEmitter
from ribs.schedulers import Scheduler
from ribs_problems import BATCH, DIMENSION, RANGES, begun, oracle_of, start

X0, STEPS = start().numpy(), 12


def grid(**settings: Any) -> GridArchive:
    fields = {"times": ((), np.int64)}
    return GridArchive(
        solution_dim=DIMENSION, dims=[8, 8], ranges=list(RANGES.values()), extra_fields=fields, **settings
    )


def evolution(archive: GridArchive, **settings: Any) -> list[EvolutionStrategyEmitter]:
    return [EvolutionStrategyEmitter(archive, x0=X0, sigma0=0.3, batch_size=12, **settings) for _ in range(2)]


def theirs(name: str) -> tuple[Scheduler, GridArchive]:
    """Schedulers as the tutorials of pyribs make them, and the archive that counts."""
    archive, result = grid(), None
    if name == "map_elites, line":
        emitters: list[Any] = [IsoLineEmitter(archive, x0=X0, iso_sigma=0.3, line_sigma=0.5, batch_size=20)]
    elif name == "map_elites, gaussian":
        emitters = [GaussianEmitter(archive, x0=X0, sigma=0.3, batch_size=20)]
    elif name == "cma_mae":
        archive, result = grid(learning_rate=0.1, threshold_min=-1.0), archive
        emitters = evolution(archive, ranker="imp", selection_rule="mu", restart_rule="basic", es="sep_cma_es")
    elif name == "cma_mega":
        settings = {"grad_opt": "gradient_ascent", "selection_rule": "mu", "batch_size": 12}
        emitters = [GradientArborescenceEmitter(archive, x0=X0, sigma0=0.3, lr=1.0, **settings)]
    else:
        emitters = evolution(archive, ranker={"direction": "2rd", "improvement": "2imp"}[name.split(", ")[1]])
    return Scheduler(archive, emitters, result), archive if result is None else result


OURS = {
    "map_elites, line": {"popsize": 20, "sigma": 0.3, "line_sigma": 0.5},
    "map_elites, gaussian": {"popsize": 20, "sigma": 0.3, "variation": "gaussian"},
    "cma_me, improvement": {"popsize": 12, "emitters": 2, "sigma": 0.3},
    "cma_me, direction": {"popsize": 12, "emitters": 2, "sigma": 0.3, "ranker": "random_direction"},
    "cma_mae": {
        "popsize": 12,
        "emitters": 2,
        "sigma": 0.3,
        "learning_rate": 0.1,
        "worst": 1.0,
        "covariance": "diagonal",
    },
    "cma_mega": {"popsize": 12, "sigma": 0.3},
}


def drawing(scheduler: Scheduler) -> Iterator[Any]:
    yield from {id(one): one for one in (scheduler.archive, scheduler.result_archive)}.values()
    for emitter in scheduler.emitters:
        yield emitter
        yield from (vars(emitter)[name] for name in ("_opt", "_ranker") if name in vars(emitter))


def seed(scheduler: Scheduler, generator: torch.Generator) -> None:
    source = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    for part in drawing(scheduler):
        part._rng = source


def values(solutions: np.ndarray) -> dict[str, np.ndarray]:
    times = np.ones(len(solutions), np.int64)
    return {"objective": -(solutions**2).mean(1), "measures": solutions[:, :2], "times": times}


def jacobian(solutions: np.ndarray) -> np.ndarray:
    first, second = np.eye(DIMENSION)[:2]
    return np.stack([np.stack([-2 * one / DIMENSION, first, second]) for one in solutions])


@pytest.mark.parametrize("name", OURS)
def test_the_elites_are_those_of_pyribs_own_loop(name: str) -> None:
    oracle, generator = oracle_of(seed=3), torch.Generator().manual_seed(3)
    ours = begun(name.split(", ")[0], oracle, cells=8, **OURS[name])
    scheduler, archive = theirs(name)
    seed(scheduler, generator)
    for one in {id(a): a for a in (scheduler.archive, archive)}.values():
        one.add(X0[None], **values(X0[None]))
    for emitter in scheduler.emitters:
        if hasattr(emitter, "_ranker"):
            emitter._ranker.reset(emitter, scheduler.archive)
    for _ in range(STEPS):
        ours.step(oracle, BATCH)
        seed(scheduler, generator)
        if name == "cma_mega":
            centers = scheduler.ask_dqd()
            scheduler.tell_dqd(**values(centers), jacobian=jacobian(centers))
        scheduler.tell(**values(scheduler.ask()))
        found, expected = ours._library.result.data(), archive.data()
        assert np.array_equal(found["index"], expected["index"])
        np.testing.assert_allclose(found["solution"], expected["solution"], rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["objective"], expected["objective"], rtol=0, atol=1e-9)
    scores = ours.scores()
    assert scores["elites"] == len(archive) > 10
    assert scores["coverage"] == pytest.approx(len(archive) / 64)
    offset = float(ours.offset)
    assert scores["qd_score"] == pytest.approx(np.maximum(0, offset + archive.data("objective")).sum())
