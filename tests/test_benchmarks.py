"""The benchmark of growth runs, and says what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jobs import LIMIT

SCALE = Path(__file__).parents[1] / "scripts" / "benchmarks" / "bench_scale.py"


def measured(part: str, folder: Path) -> dict[str, Any]:
    """The report of one part, in tiny sizes."""
    command = [sys.executable, str(SCALE), "--quick", "--parts", part, "--json", "found.json", "--picture", "drawn.png"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text())


@pytest.mark.slow
def test_generations_are_measured_over_the_number_of_parameters(tmp_path: Path) -> None:
    report = measured("dimension", tmp_path)
    variants = ["plain inference", "mezo", "openai_es, seeded", "eggroll, low rank"]
    assert [(row["variant"], row["d"]) for row in report["dimension"]] == [(v, d) for v in variants for d in (1e3, 1e4)]
    assert all(row["seconds"] > 0 for row in report["dimension"])
    assert [row["variant"] for row in report["exponents"]] == variants
    assert (tmp_path / "drawn.png").stat().st_size > 0


@pytest.mark.slow
def test_what_does_not_fit_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCALE.parent))
    import scale_dimension

    ran = []

    def in_child(label: str, d: float) -> dict[str, float]:
        ran.append(d)
        return {"seconds": d, "peak MB": 20 * d / 1e6}

    monkeypatch.setattr(scale_dimension, "in_child", in_child)
    rows = scale_dimension.measure(quick=False, limit=3.0)
    largest = rows[len(scale_dimension.SIZES) - 1]
    assert max(ran) == 1e8
    assert (largest["d"], largest["seconds"], largest["note"]) == (2e8, None, "not run: it would take 4.0 GB")


@pytest.mark.slow
def test_processes_come_to_the_same_point(tmp_path: Path) -> None:
    rows = measured("processes", tmp_path)["processes"]
    assert [row["processes"] for row in rows] == [1, 2] * 3
    assert {row["bit for bit"] for row in rows} == {"equal"}
    assert [row["bytes of answers"] for row in rows] == [0, 4 * 4 + 8] * 3  # of eight losses half, and the cost


@pytest.mark.slow
def test_a_sweep_is_run_and_then_skipped(tmp_path: Path) -> None:
    rows = {row["sweep"]: row for row in measured("sweep", tmp_path)["sweep"]}
    assert (rows["numbers"]["jobs run"], rows["numbers, again"]["jobs run"]) == (10, 0)
    assert rows["plugins"]["first job s"] > 0
