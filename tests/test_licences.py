"""What hybridopt runs with has licences that Apache-2.0 goes with, as scripts/tools/licences.py sees them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from fake_packages import announce, on_path
from scripted import tool

ROOT = Path(__file__).resolve().parents[1]
RULES = {"allowed": ["MIT", "ISC License (ISCL)"], "read": {"told": "MIT"}, "exceptions": {"known-*": "for a reason"}}


@pytest.fixture(scope="module")
def licences() -> Any:
    return tool("licences")


def test_all_packages_that_we_run_with_have_allowed_licences(licences: Any) -> None:
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = licences.run_time("hybridopt", said["project"]["optional-dependencies"].keys() - licences.NOT_RUN_WITH)
    assert {"torch", "mlflow", "numpy", "directsearch"} <= packages  # through others, too
    assert not {"pytest", "ruff", "mkdocs-material"} & packages
    assert licences.not_allowed(licences.licences(packages), said["tool"]["hybridopt"]["licences"]) == []


@pytest.mark.parametrize("licence", ["GPL-3.0-or-later", "MIT AND GPL-3.0-only", "MIT OR Proprietary", "UNKNOWN"])
def test_a_licence_that_is_not_allowed_is_told(licence: str, licences: Any) -> None:
    (sentence,) = licences.not_allowed({"acme": licence, "mine": "MIT; ISC License (ISCL)"}, RULES)
    assert sentence.startswith(f"acme has the licence {licence!r}")


def test_what_was_looked_at_is_not_told_again(licences: Any) -> None:
    assert licences.not_allowed({"told": "UNKNOWN", "known-cuda": "Proprietary"}, RULES) == []


def test_packages_are_followed_through_extras_and_markers(licences: Any, tmp_path: Path) -> None:
    lines = ["b[fast]", "c; python_version < '3'", "absent", "d; extra == 'more'"]
    announce(tmp_path, "a", {}, extra="".join(f"Requires-Dist: {line}\n" for line in lines))
    announce(tmp_path, "b", {}, extra="Requires-Dist: e; extra == 'fast'\nRequires-Dist: a\n")
    for name in "cde":
        announce(tmp_path, name, {})
    with on_path(tmp_path):
        assert licences.run_time("a", []) == {"a", "b", "e"}
        assert licences.run_time("a", ["more"]) == {"a", "b", "d", "e"}
