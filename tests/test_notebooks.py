"""The notebooks of the docs run from top to bottom, and what they show is of no machine."""

from __future__ import annotations

import json
import os
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from scripted import tool


@pytest.fixture(scope="module")
def maker() -> Any:
    return tool("make_notebooks")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["newcomer", "plugin_author"])
def test_it_runs_and_has_been_run(name: str, maker: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")  # for its commands
    path = maker.NOTEBOOKS / f"{name}.ipynb"
    stored = json.loads(path.read_text(encoding="utf-8"))
    again = maker.executed(path, tmp_path)
    assert kinds(stored) == kinds(again)
    for text in (json.dumps(stored), json.dumps(again)):
        assert str(tmp_path) not in text
        assert "/tmp/" not in text
        assert "/home/" not in text


def kinds(notebook: Any) -> list[list[str]]:
    """What each cell shows: text, values, pictures."""
    outputs = [cell.get("outputs", []) for cell in notebook["cells"]]
    return [[kind for kind, _ in groupby(output["output_type"] for output in each)] for each in outputs]
