"""Each line of SECURITY.md is held by tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")


def test_the_tests_that_hold_the_lines_are_there() -> None:
    files = {path.name: path for path in ROOT.glob("tests/**/test_*.py")}
    held = re.findall(r"^\| .+ \| (.*`) \|$", PAGE, re.MULTILINE)
    assert len(held) > 10
    for cell in held:
        file = None
        for reference in re.findall(r"`([^`]+)`", cell):
            place, _, name = reference.partition("::")
            file = ROOT / place if "/" in place else files[place] if place else file
            assert file is not None, reference
            assert file.exists(), reference
            assert f"def {name}(" in file.read_text(encoding="utf-8") if name else True, reference
