"""The benchmark of growth runs, and says what it found."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts" / "benchmarks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the benchmark has left its report and picture, of tiny sizes; a single size has a process of its own."""
    folder = tmp_path_factory.mktemp("scale")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPTS))
        dimension = import_module("scale_dimension")
        apart = dimension.in_child

        def here(label: str, d: float) -> dict[str, float]:
            return apart(label, d) if (label, d) == ("mezo", 1e4) else dimension.child(label, d)

        patch.setattr(dimension, "in_child", here)
        kept = ["--json", str(folder / "found.json"), "--picture", str(folder / "drawn.png")]
        patch.setattr(sys, "argv", ["bench_scale.py", "--quick", "--parts", "dimension", "processes", "sweep", *kept])
        import_module("bench_scale").main()
        yield folder


@pytest.fixture
def report(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "found.json").read_text())


@pytest.mark.slow
def test_generations_are_measured_over_the_number_of_parameters(report: dict[str, Any], folder: Path) -> None:
    variants = ["plain inference", "mezo", "openai_es, seeded", "eggroll, low rank"]
    assert [(row["variant"], row["d"]) for row in report["dimension"]] == [(v, d) for v in variants for d in (1e3, 1e4)]
    assert all(row["seconds"] > 0 for row in report["dimension"])
    assert [row["variant"] for row in report["exponents"]] == variants
    assert (folder / "drawn.png").stat().st_size > 0


@pytest.mark.slow
def test_what_does_not_fit_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SCRIPTS))
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
def test_processes_come_to_the_same_point(report: dict[str, Any]) -> None:
    rows = report["processes"]
    assert [row["processes"] for row in rows] == [1, 2] * 3
    assert {row["bit for bit"] for row in rows} == {"equal"}
    assert [row["bytes of answers"] for row in rows] == [0, 4 * 4 + 8] * 3  # of eight losses half, and the cost


@pytest.mark.slow
def test_a_sweep_is_run_and_then_skipped(report: dict[str, Any]) -> None:
    rows = {row["sweep"]: row for row in report["sweep"]}
    assert (rows["numbers"]["jobs run"], rows["numbers, again"]["jobs run"]) == (10, 0)
    assert rows["plugins"]["first job s"] > 0
