"""Sweeps as users type them: in this process, which has the imports behind it."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from jobs import SMALL

from hybridopt.programs import run as cli

QUICK = [override for override in SMALL if not override.startswith(("tracking", "model"))]


@dataclass
class Ended:
    """A sweep that has ended."""

    code: int
    out: str
    err: str

    @property
    def outcomes(self) -> dict[str, int]:
        """How many jobs came to what, by the last line of the table."""
        line = next(line for line in reversed(self.out.splitlines()) if re.match(r"\d+ jobs?: ", line))
        return {word: int(number) for number, word in (part.split(" ", 1) for part in line.split(": ")[1].split(", "))}


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Type ``hybridopt -m`` with small jobs in ``tmp_path``; tracking is off unless asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def call(*overrides: str, budget: str = "budget.forwards=3000", tracking: str = "tracking=none") -> Ended:
        keys = {override.partition("=")[0] for override in overrides}
        quick = [override for override in QUICK if override.partition("=")[0] not in keys]
        monkeypatch.setattr(sys, "argv", ["hybridopt", "-m", *quick, budget, tracking, *overrides])
        capsys.readouterr()
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
        said = capsys.readouterr()
        return Ended(code if isinstance(code, int) else int(code is not None), said.out, said.err + str(code or ""))

    return call


@pytest.fixture
def directories(tmp_path: Path) -> Callable[[str], dict[str, Path]]:
    """The jobs' directories of the only sweep, or of the one that is named."""

    def find(name: str = "*") -> dict[str, Path]:
        return {path.parent.name: path.parent for path in sorted(tmp_path.glob(f"multirun/{name}/*/config.yaml"))}

    return find


def forwards(directory: Path) -> float:
    """What a finished job has cost."""
    return json.loads((directory / "result.json").read_text())["summary"]["cost/forwards"]
