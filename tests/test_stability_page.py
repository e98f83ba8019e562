"""What docs/stability.md calls public is there, and nothing of its kind is left out."""

from __future__ import annotations

import dataclasses
import re
from importlib.metadata import distribution
from pathlib import Path

import pytest
from jobs import SMALL

from hybridopt import compose, run
from hybridopt.composition.compose import plain_values
from hybridopt.composition.kinds import GROUPS
from hybridopt.composition.registry import CONFIGS
from hybridopt.composition.schema import SWEEPERS, Config
from hybridopt.execution.identity import tags
from hybridopt.programs.plugins import cli
from hybridopt.toolbox.deprecation import GROUP, Renamed

ROOT = Path(__file__).parent.parent
WHOLE = (ROOT / "docs" / "stability.md").read_text(encoding="utf-8")
PAGE = WHOLE.split("## What is not")[0]


def listed(heading: str) -> list[str]:
    """The names in code of a paragraph, or of the table below it."""
    (text,) = re.findall(rf"^\*\*{heading}\.\*\*(.*?)(?=^\*\*|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`]+)`", text)


def test_programs() -> None:
    scripts = [entry.name for entry in distribution("hybridopt").entry_points if entry.group == "console_scripts"]
    assert {name for name in listed("Programs") if name.startswith("hybridopt")} >= set(scripts)
    assert (cli.FINE, cli.FOUND, cli.MISUSED) == (0, 1, 2)


def test_config_keys() -> None:
    names = listed("Config")
    keys = [field.name for field in dataclasses.fields(Config)]
    assert names[: len(keys)] == keys
    assert {f"hydra/sweeper={next(iter(SWEEPERS))}", *list(SWEEPERS)[1:]} <= set(names)


def test_the_example_of_a_list() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", WHOLE, re.DOTALL)
    namespace: dict[str, list[Renamed]] = {}
    exec(compile(block, "stability.md", "exec"), namespace)
    assert [(one.plugin, one.new) for one in namespace["RENAMED"]] == [
        (None, "my_es"),
        ("my_es", "sigma"),
        ("my_es", None),
    ]


def test_entry_point_groups() -> None:
    assert listed("Entry-point groups") == [*GROUPS.values(), CONFIGS, GROUP]


@pytest.mark.filterwarnings("ignore")  # Lightning advises whoever trains on a CPU
def test_metrics_tags_and_files(tmp_path: Path, uri: str) -> None:
    overrides = (
        *SMALL,
        "strategy=adam",
        "budget.forwards=2e3",
        "tracking=mlflow",
        f"tracking.uri={uri}",
    )
    result = run(*overrides, directory=tmp_path / "run")
    files = listed("Files in a run's directory")
    rows = re.findall(r"^\| `([\w./]+)` \|", PAGE, re.MULTILINE)
    assert [name for name in rows if not (tmp_path / "run" / name).exists()] == []
    assert {"config.yaml", "result.json", "journal.jsonl", "run.json", "digests.json"} <= set(files)

    from mlflow import MlflowClient

    kept = MlflowClient(uri).get_run(result.run_id).data
    names = [name.replace("<metric>", "loss").replace("<path>", "strategy") for name in listed("MLflow")]
    metrics = {name for name in names if "/" in name}
    of_sweeps = {"hybridopt.kind", "hybridopt.sweep", "hybridopt.role", "hybridopt.command"}
    assert metrics - kept.metrics.keys() == set()
    assert {name for name in names if name.startswith("hybridopt.")} - kept.tags.keys() <= of_sweeps
    assert all(f'"{name}"' in everything() for name in of_sweeps)
    assert tags(plain_values(compose(*overrides))).keys() <= kept.tags.keys()


def everything() -> str:
    """The source that sets tags."""
    folders = ("execution", "sweep", "tracking")
    return "".join(
        path.read_text(encoding="utf-8") for one in folders for path in (ROOT / "hybridopt" / one).glob("*.py")
    )
