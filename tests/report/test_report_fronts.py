"""Fronts in a report: how far each is from the best of all, what half of the seeds attain, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from jobs import SMALL

from hybridopt import compose
from hybridopt.report.fronts import Scale, StoredFront, attained, of_dataset, rows
from hybridopt.report.make import make_report
from hybridopt.report.runs import ComparedRun, Comparison
from hybridopt.tracking.reading import StoredRun

BEST = np.array([[0.0, 10.0], [1.0, 0.0]])


def test_the_best_front_is_at_no_distance_and_others_by_what_they_miss():
    scale = Scale.of([BEST, BEST + 1.0])
    assert scale.distance(BEST) == 0
    assert scale.distance(BEST + np.array([0.5, 0.0])) == pytest.approx(0.5)  # in units of the first objective's range
    assert scale.distance(BEST + np.array([0.0, 5.0])) == pytest.approx(0.5)  # and of the second one's


def test_half_of_the_runs_attain_what_two_of_three_do():
    fronts = [np.array([[0.0, 0.0]]), np.array([[1.0, 1.0]]), np.array([[2.0, 3.0]])]
    assert attained(fronts).tolist() == [[1.0, 1.0]]


def compared(fronts: dict[str, list[StoredFront]]) -> Comparison:
    results, stored = [], {}
    for strategy, each in fronts.items():
        for seed, front in enumerate(each):
            record = StoredRun(f"{strategy}{seed}", "", "FINISHED", 0, {}, {}, {})
            results.append(ComparedRun(strategy, "digits", str(seed), record))
            stored[record.run_id] = front
    return Comparison(results, "hypervolume", True, fronts=stored)


def front(readings: np.ndarray, names: tuple[str, ...] = ("loss", "size")) -> StoredFront:
    return StoredFront(names, ((10.0, readings + 1), (20.0, readings)), readings)


def test_fronts_of_other_objectives_and_of_failures_alone_are_left_out():
    made = {
        "a": [front(BEST), front(BEST + 1)],
        "b": [front(BEST, ("loss", "cost"))],
        "c": [front(np.zeros((0, 2)))],
    }
    found = rows(compared(made))
    assert [(row.strategy, row.runs) for row in found] == [("a", 2)]
    assert of_dataset(compared({"c": made["c"]}), "digits") == {}


@pytest.mark.slow
def test_a_sweep_over_several_objectives_is_reported_by_its_fronts(hybridopt, tmp_path: Path):
    small = [one for one in SMALL if not one.startswith("tracking")]
    objectives = "objectives={loss: cross_entropy, sparsity: zero_weights}"
    assert compose(*small, objectives).objective.name == "several"
    pruning = "strategy=iterative_magnitude_pruning,adam"
    hybridopt("-m", *small, objectives, pruning, "seeds=2", "budget.forwards=2e4", "sweep.report=false")
    report = make_report(f"sqlite:///{tmp_path}/mlflow.db", out=tmp_path / "out")
    text = report.markdown.read_text()
    assert "compared in test/hypervolume; higher is better" in text
    assert "## Fronts" in text
    assert (tmp_path / "out/fronts_iris.svg").exists()
