"""The notebooks of the docs run from top to bottom, and what they show is of no machine."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

MAKER = Path(__file__).parent.parent / "scripts" / "tools" / "make_notebooks.py"


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_notebooks", MAKER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
