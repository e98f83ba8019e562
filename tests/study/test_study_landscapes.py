"""The verdicts of the studies on guarantees and on functions with many optima, by results that are made up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from hybridopt import Results, Study
from hybridopt.study.finding import find_study

SEARCHES, DESCENTS = ("CMA-ES, restarted", "differential evolution"), ("L-BFGS, many starts", "L-BFGS, basin hopping")


def judged(study: Study, cells: Sequence[dict[str, Any]]) -> str:
    return study.judge(Results("docs", cells={str(index): cell for index, cell in enumerate(cells)})).verdict


@pytest.mark.parametrize(
    ("sgd", "elitist", "verdict"),
    [
        ((100, 100), (100, 60), "supported"),
        ((100, 100), (100, 100), "mixed"),
        ((50, 100), (100, 0), "refuted"),
        ((50, 100), (60, 100), "mixed"),
        ((90, 90), (90, 90), "not distinguishable"),
    ],
)
def test_guarantees(sgd: tuple[int, int], elitist: tuple[int, int], verdict: str) -> None:
    arrived = {"SGD": sgd, "elitist evolution": elitist, "random search": (0, 0)}
    cells = [
        {"problem": problem, "method": method, "starts": 100, "arrived": [0, counts[index]]}
        for index, problem in enumerate(("double well 1-D", "width 3"))
        for method, counts in arrived.items()
    ]
    assert judged(find_study("guarantees"), cells) == verdict


@pytest.mark.parametrize(
    ("few", "many", "verdict"),
    [
        (-2, 2, "supported"),
        (2, 2, "refuted"),
        (-2, -2, "refuted"),
        (-2, 0, "mixed"),
        (0, 0, "not distinguishable"),
    ],
)
def test_multimodal(few: float, many: float, verdict: str) -> None:
    def gaps(ahead: float, seed: int) -> dict[str, float]:
        noise = 10 ** (0.1 * (seed % 3))
        return dict.fromkeys(SEARCHES, 10**ahead * noise) | dict.fromkeys(DESCENTS, 10 ** (0.05 * (seed % 2)) * noise)

    cells = [
        {"function": function, "d": d, "seed": seed, "gaps": gaps(few if d == 2 else many, seed)}
        for function in ("rastrigin", "ackley")
        for d in (2, 300)
        for seed in range(10)
    ]
    assert judged(find_study("multimodal"), cells) == verdict


@pytest.mark.parametrize(
    ("indices", "correlation", "by_gradient", "verdict"),
    [
        ((0.0, 0.5), 0.8, 100, "supported"),
        ((0.0, 0.0), 0.8, 100, "mixed"),
        ((0.0, 0.5), 0.0, 1500, "not distinguishable"),
        ((0.5, 0.0), 0.8, 100, "refuted"),
        ((0.0, 0.5), -0.8, 100, "refuted"),
        ((0.0, 0.5), 0.8, -1, "refuted"),
    ],
)
def test_saddles(indices: tuple[float, float], correlation: float, by_gradient: float, verdict: str) -> None:
    cells: list[dict[str, Any]] = [{"part": "matrices", "shares": [0.5, 0.1, 0.01]}]
    for seed, noise in enumerate((-0.1, 0.0, 0.1, 0.05, -0.05)):
        counts = {"searches": 60, "failed": 3}
        cells += [
            {"part": "field", "d": d, "indices": [i] * 50, **counts} for d, i in zip((2, 20), indices, strict=True)
        ]
        cells += [{"part": "network", "h": 2, "correlation": correlation + noise, "minima": [0.1, 0.2], **counts}]
        cells += [{"part": "barrier", "w": 4, "raw": 0.5 + noise, "matched": 0.1, "seed": seed}]
    free = ("evolution strategy", "evolutionary algorithm")
    for method in ("gradient descent", "noisy gradient descent", "Adam", *free):
        costs = [(1500.0 if method in free else by_gradient)] * 100
        cells += [{"part": "escape", "k": 1, "method": method, "costs": costs, "evaluations": 2000}]
    assert judged(find_study("saddles"), cells) == verdict


@pytest.mark.parametrize(
    ("cosine", "regret", "verdict"),
    [
        (0.5, 0.1, "refuted"),
        (0.02, 1.0, "supported"),
        (0.5, 1.0, "mixed"),
        (0.02, 0.1, "mixed"),
        (-0.5, 1.0, "not distinguishable"),
    ],
)
def test_surrogate_models(cosine: float, regret: float, verdict: str) -> None:
    cells: list[dict[str, Any]] = []
    for function in ("branin", "ackley 5"):
        for seed in range(10):
            shared = {"function": function, "seed": seed}
            cells.append({**shared, "samples": [25, 800], "cosines": [0.0, cosine + 0.01 * (seed % 3)]})
            for method in ("network, by gradient", "network, by search", "NGOpt", "Gaussian process", "random search"):
                reached = (regret if method.startswith("network") else 1.0) * 10 ** (0.02 * (seed % 4))
                cells.append({**shared, "method": method, "calls": [25, 200], "regret": [1.0, reached]})
    assert judged(find_study("surrogate_models"), cells) == verdict
