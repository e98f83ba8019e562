"""Quality diversity as users run it: with the program's config, on real data, stopped and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hybridopt_pyribs import conf
from ribs_problems import NAMES

from hybridopt import build, compose, run

QUIET = ("tracking=none", "trainer.enable_progress_bar=false", "budget.marks=4")
IRIS = ("dataset=iris", "model.hidden=[4]", "budget.forwards=4e4")
EXPERIMENTS = sorted(path.stem for path in (Path(conf.__file__).parent / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_runs_by_itself(name: str, tmp_path: Path) -> None:
    """Chance is 1/3; scores are curves over what was spent."""
    summary = run(f"strategy={name}", *QUIET, *IRIS, directory=tmp_path).summary
    assert summary["test/accuracy"] > 0.5
    rows = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    curve = [row["values"]["train/qd_score"] for row in rows if "train/qd_score" in row.get("values", {})]
    assert len(curve) > 3
    assert curve[-1] > curve[0]
    written = {path.name for path in (tmp_path / "artifacts").iterdir()}
    assert written == {"archive.parquet", "archive.safetensors", "archive.png"}


def test_measures_are_named_on_the_command_line(tmp_path: Path) -> None:
    measures = ("+objective@strategy.measures.norm=l1_norm", "+strategy.ranges.norm=[0,2]")
    run("strategy=map_elites", *measures, *QUIET, *IRIS, directory=tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    archive = state["strategy._extra_state"]["library"]["archives"][0]
    assert archive["measures"].shape == (len(archive["cells"]), 1)
    sizes = archive["solution"].abs().mean(1)
    torch.testing.assert_close(archive["measures"][:, 0], sizes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_its_parts_fit(name: str) -> None:
    build(compose(f"experiment={name}", *QUIET))


def test_elites_are_the_pool_of_a_soup(tmp_path: Path) -> None:
    summary = run("experiment=cma_mega_soup", *QUIET, "budget.forwards=2e5", directory=tmp_path).summary
    assert summary["test/accuracy"] > 0.7
    rows = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    used = [row["values"]["train/ingredients"] for row in rows if "train/ingredients" in row.get("values", {})]
    assert used[-1] >= 1


def test_a_later_phase_goes_on_from_the_best_elite(tmp_path: Path) -> None:
    phases = ("+strategy/phases@strategy.phases.search=map_elites", "+strategy/phases@strategy.phases.tune=adam")
    run("strategy=sequence", *phases, *QUIET, *IRIS, directory=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    losses = [row["values"]["val/loss"] for row in rows if "val/loss" in row.get("values", {})]
    assert losses[-1] < losses[1] < losses[0]


DESCRIBED = """
import sys
from hybridopt.composition import registry
for name in ("map_elites", "cma_me", "cma_mae", "cma_mega"):
    parameters = registry.find("strategy", name).describe().parameters
    assert parameters[0].name == "measures" and parameters[0].preset, name
assert not {"ribs", "numba", "torch"} & set(sys.modules)
"""


def test_being_listed_imports_nothing_heavy() -> None:
    ended = subprocess.run([sys.executable, "-c", DESCRIBED], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
