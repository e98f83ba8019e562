"""Jobs that share a process do not share anything else."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from directories import assert_same
from jobs import SMALL

from hybridopt.execution import experiment

Composed = Callable[..., dict[str, Any]]
JOBS = {
    "es": ["strategy=openai_es", "seed=1"],
    "gradient": ["strategy=adam", "seed=2", "model=cnn", "dataset=digits", "dataset.batch_size=64"],
    "chosen": ["strategy=nevergrad", "seed=3"],
}
QUICK = [*SMALL, "budget.forwards=5e3", "trainer.enable_progress_bar=false"]


def overrides(job: str) -> list[str]:
    given = [override.partition("=")[0] for override in JOBS[job]]
    shared = [override for override in QUICK if override.partition("=")[0] not in given]
    return [override for override in [*shared, *JOBS[job]] if not (job == "gradient" and "model.hidden" in override)]


def test_the_order_of_jobs_does_not_matter(composed: Composed, tmp_path: Path) -> None:
    for order in (list(JOBS), list(reversed(JOBS))):
        for job in order:
            experiment.run(composed(*overrides(job)), tmp_path / order[0] / job)
    first, *_, last = JOBS
    for job in JOBS:
        assert_same(tmp_path / first / job, tmp_path / last / job)


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="the system cannot forget a peak")
def test_the_peak_of_memory_is_the_runs_own(composed: Composed, tmp_path: Path) -> None:
    block = torch.ones(2**26)  # 256 MB, by somebody who was there before
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    del block
    result = experiment.run(composed(*overrides("es")), tmp_path / "run")
    assert result is not None
    assert 50 < result.summary["cost/peak_memory_mb"] < before - 200


@pytest.mark.slow
def test_another_process_gives_the_same_numbers(
    composed: Composed, hybridopt: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    experiment.run(composed(*overrides("chosen")), tmp_path / "here")
    hybridopt(*overrides("chosen"), "hydra.run.dir=there")
    assert_same(tmp_path / "here", tmp_path / "there")
