"""The page of answers says what the kept results say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from hybridopt.composition import registry

ROOT = Path(__file__).parent.parent
KEPT = sorted((ROOT / "docs" / "studies").glob("*.json"))


@pytest.fixture(scope="module")
def maker() -> Any:
    spec = importlib.util.spec_from_file_location("make_thread", ROOT / "scripts" / "tools" / "make_thread.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_pages_are_made_from_the_results(maker: Any, tmp_path: Path) -> None:
    """Figures are there; another version of matplotlib draws the same ones by other lines."""
    pages = maker.made(tmp_path)
    assert all(path.exists() for path in pages)
    texts = {path: text for path, text in pages.items() if path.suffix != ".svg"}
    stale = [path.name for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, "type python scripts/tools/make_thread.py"


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_results_are_whole_and_of_the_right_size(path: Path, maker: Any) -> None:
    results = maker.load(path)
    assert path.stem in registry.names("study")
    assert results.profile == maker.PROFILE
    assert not results.missing
    study = maker.find_study(path.stem, results.settings)
    profile = study.profiles[results.profile]
    assert results.arms.keys() == study.arms(profile).keys()
    assert results.cells.keys() == study.cells(profile).keys()
    assert all([run.seed for run in runs] == list(profile.fresh) for runs in results.arms.values())


def test_the_conclusion_names_numbers_that_there_are(maker: Any) -> None:
    with pytest.raises(SystemExit, match=r"conclusion\.md names \{nothing/here\}, which no study has"):
        maker.filled("A number: {nothing/here}.", maker.numbers([]), "conclusion.md")
    assert maker.filled("{count} claims, {share|.0%}", {"count": "0", "share": 0.25}, "it") == "0 claims, 25%"


def test_plain_words_hold_for_the_verdict_for_which_they_were_written(maker: Any, tmp_path: Path) -> None:
    (answer, *_) = maker.answers(tmp_path)
    other = next(verdict for verdict in maker.VERDICTS if verdict != answer.verdict)
    readings = tmp_path / "readings.toml"
    readings.write_text(f'[{answer.name}]\nverdict = "{other}"\nsays = "It is so."\n', encoding="utf-8")
    with pytest.raises(SystemExit, match=f"when {answer.name} was {other}, and it is {answer.verdict} now"):
        maker.said(answer, readings)
    readings.write_text(f'[{answer.name}]\nverdict = "{answer.verdict}"\nsays = "It is so."\n', encoding="utf-8")
    assert maker.said(answer, readings) == "It is so."
