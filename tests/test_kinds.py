"""The table of kinds names what there is, and a row in it, a folder and a file of checks are all that a kind takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from fake_packages import announce

from hybridopt import conf
from hybridopt.composition import kinds, schema
from hybridopt.testing.plugins import CHECKS, KINDS

ROOT = Path(__file__).resolve().parents[1] / "hybridopt"

# -- what the table names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", kinds.TABLE, ids=lambda kind: kind.name)
def test_a_kind_is_what_its_row_says(kind: kinds.Kind) -> None:
    contract = resolve_name(kind.contract)
    assert contract is resolve_name(kind.public) is kind.imported()
    assert kinds.of_class(contract) is kind
    assert all(issubclass(resolve_name(relative), contract) for relative in kind.relatives)
    assert all(hasattr(contract, name) or name in contract.__annotations__ for name in kind.attributes)
    assert (ROOT / kind.plural / "__init__.py").exists()
    assert kind.name in KINDS or not kind.configured
    assert all(find_spec(CHECKS[kind]) for kind in KINDS)


def test_every_job_has_the_parts() -> None:
    assert set(kinds.PARTS) <= {field.name for field in fields(schema.Config)}
    assert set(kinds.PARTS) <= set(kinds.CONFIGURED)


# -- one more kind ----------------------------------------------------------------------------------------------------

ROW = '    Kind("schedule", "hybridopt.schedules", "hybridopt.core.schedule:Schedule", part=False),\n'
CONTRACT = '''
from abc import ABC, abstractmethod


class Schedule(ABC):
    """Says when a phase ends."""

    @abstractmethod
    def over(self, losses): ...
'''
CHECK = '''
from hybridopt.composition import building
from hybridopt.testing.kit import check, fail_if
from hybridopt.testing.plugins import defaults


@check("schedule")
def waits_for_a_loss(plugin):
    """It does not end a phase that has not begun."""
    fail_if(building.make(plugin, defaults(plugin)).over([]), "it ends a phase that has not begun.")
'''
PACKAGE = '''
from __future__ import annotations

from typing import Annotated

from hybridopt import Search
from hybridopt.core.schedule import Schedule


class Plateau(Schedule):
    """End where the loss does not fall any more."""

    def __init__(self, patience: int = 5):
        self.patience = patience

    def over(self, losses):
        return len(losses) > self.patience and min(losses[-self.patience:]) > min(losses)


class Hasty(Plateau):
    """End at once."""

    def over(self, losses):
        return True


class NoSchedule:
    """Nothing of the kind."""


class Waiting(Search):
    """A search until a schedule ends it."""

    def __init__(self, until: Annotated[Schedule, "plateau"], other: Schedule | None = None):
        super().__init__()
        self.until = until

    def start(self, x0): ...

    def ask(self): ...

    def tell(self, population, losses): ...

    def recommend(self): ...
'''
GROUPS = {
    "hybridopt.schedules": {name: f"acme_schedules:{name.title()}" for name in ("plateau", "hasty")}
    | {"none": "acme_schedules:NoSchedule"},
    "hybridopt.strategies": {"waiting": "acme_schedules:Waiting"},
    "hybridopt.schedule": {"misspelt": "acme_schedules:Plateau"},
}
MEET = """
import json
from dataclasses import asdict
from hybridopt.composition import building, config_source, registry
from hybridopt.composition.compose import compose, plain_values
from hybridopt.programs.plugins import checking, cli, doctor, listing, showing

schedules = [registry.find("schedule", name) for name in registry.names("schedule")]
waiting = registry.find("strategy", "waiting")
config = plain_values(compose("strategy=waiting", "schedule@strategy.until=hasty", "strategy.until.patience=2"))
print(json.dumps({
    "names": registry.names("schedule"),
    "rows": [asdict(row) for row in listing.rows() if row.kind == "schedule"],
    "settings": [asdict(one) for one in showing.facts_of(schedules[1], 60).settings],
    "nested": [(one.name, one.nested, one.preset) for one in waiting.describe().parameters],
    "preset": plain_values(compose("strategy=waiting"))["strategy"],
    "config": config["strategy"],
    "built": vars(building.build("strategy", config["strategy"]).until),
    "provenances": building.provenances("strategy", config["strategy"]),
    "completion": [cli.candidates(["show"]), cli.candidates(["show", "schedule"])],
    "groups": config_source.EntryPointConfigSource("p", "entrypoints://").list("schedule", None),
    "reports": [asdict(report) for report in checking.reports(schedules[:2], 100)],
    "broken": [(finding.what, finding.sentence) for finding in doctor.broken(schedules, 100)],
    "unknown": [finding.sentence for finding in doctor.unknown_groups()],
}))
"""


@pytest.fixture(scope="module")
def schedules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a process in which there is one more kind, and a package that brings three of it."""
    tree, site = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT, tree / "hybridopt", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(conf.__file__).parent, tree / "hybridopt" / "conf")
    table = tree / "hybridopt" / "composition" / "kinds.py"
    table.write_text(table.read_text().replace("TABLE = (\n", f"TABLE = (\n{ROW}"))
    for path, text in {
        "core/schedule.py": CONTRACT,
        "schedules/__init__.py": "",
        "testing/schedules.py": CHECK,
    }.items():
        (tree / "hybridopt" / path).parent.mkdir(exist_ok=True)
        (tree / "hybridopt" / path).write_text(text)
    announce(site, "acme", GROUPS)
    (site / "acme_schedules.py").write_text(PACKAGE)
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (tree, site))), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def met(schedules: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each part of the project says of the new kind."""
    folder = tmp_path_factory.mktemp("met")
    done = subprocess.run(
        [sys.executable, "-c", MEET], cwd=folder, env=schedules, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_it_is_listed_and_shown(met: dict[str, Any]) -> None:
    assert met["names"] == ["hasty", "none", "plateau"]
    assert [row["name"] for row in met["rows"]] == met["names"]
    assert met["rows"][2]["summary"] == "End where the loss does not fall any more."
    assert {row["problem"] for row in met["rows"]} == {None}
    assert met["completion"][0] == sorted([*kinds.KINDS, "schedule"])
    assert met["completion"][1] == met["names"]


def test_it_is_a_setting_of_others(met: dict[str, Any]) -> None:
    assert met["nested"] == [["until", "schedule", "plateau"], ["other", "schedule", None]]
    assert met["preset"] == {"name": "waiting", "until": {"name": "plateau", "patience": 5}, "other": None}
    assert met["config"]["until"] == {"name": "hasty", "patience": 2}
    assert met["built"] == {"patience": 2}
    assert list(met["provenances"]) == ["strategy", "strategy.until"]
    assert met["groups"] == met["names"]


def test_the_kit_checks_it(met: dict[str, Any]) -> None:
    hasty, none = met["reports"]
    assert list(hasty["failures"]) == ["waits_for_a_loss"]
    assert {"can_be_imported", "has_a_summary", "config_survives_yaml"} <= set(hasty["passed"])
    assert "waits_for_a_loss" in none["failures"]


def test_the_doctor_knows_what_it_must_be(met: dict[str, Any]) -> None:
    ((what, sentence),) = met["broken"]
    assert what == "schedule none"
    assert "does not derive from hybridopt.Schedule" in sentence
    assert [sentence for sentence in met["unknown"] if "should write hybridopt.schedules" in sentence]


def test_the_program_offers_it(schedules: dict[str, str], tmp_path: Path) -> None:
    def call(*arguments: str, **variables: str) -> str:
        command = [sys.executable, "-m", "hybridopt", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=schedules | variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "\nschedule: hasty, none, plateau\n" in call("--help")
    assert call("-sc", "query=bash", COMP_LINE="hybridopt schedule=p").split() == ["schedule=plateau"]
