"""scripts/benchmarks/bench_peers.py compares what it says, with whoever is installed."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent / "scripts" / "benchmarks"
OTHERS = ["EvoTorch", "EvoX", "CMA", "sep_cma", "seeded", "loop"]  # left out here: they take longer


@pytest.fixture(scope="module")
def bench() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("bench_peers")
    finally:
        sys.path.pop(0)


def test_a_row_for_each_that_is_installed_and_a_word_on_the_others(bench: Any, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    command = [sys.executable, BENCHMARKS / "bench_peers.py", "--quick", "--json", report, "--without", *OTHERS]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    rows = [row["contender"] for row in json.loads(report.read_text())["contest"] if row["family"]]
    missing = [line.split(" is left out: ")[0] for line in done.stderr.splitlines() if " is left out: " in line]
    wanted = [label for _, label in bench.CONTENDERS if not any(word in label for word in OTHERS)]
    assert sorted(rows + missing) == sorted(2 * wanted)
    assert {"hybridopt openai_es", "OpenAI-ES by hand, plain torch"} <= set(rows)


def test_the_loop_by_hand_trains(bench: Any) -> None:
    for task in bench.peers.tasks(quick=True, device="cpu"):
        contender = bench.peers_by_hand.openai_es(task)
        assert contender.loss() == pytest.approx(task.loss, abs=1e-5)
        for _ in range(60):
            contender.case()
        assert contender.loss() < 0.5 * task.loss


def test_what_makes_several_generations_a_call_is_charged_for_one(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task = bench.peers.tasks(quick=True, device="cpu")[0]

    def sleeper(seconds: float, *settings: int) -> Any:
        return lambda task: bench.Contender(lambda: time.sleep(seconds), lambda: task.loss, *settings)

    monkeypatch.setattr(bench, "CONTENDERS", {("f", "one"): sleeper(0.004), ("f", "twenty"): sleeper(0.08, 20, 3)})
    settings = argparse.Namespace(without=[], device="cpu", repetitions=3, least=0.0)
    one, twenty = bench.contest(task, settings)[1:]
    assert 0.2 < twenty["times ours"] < 5
    assert (one["threads"], twenty["threads"]) == (1, 3)
