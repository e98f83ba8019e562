"""The page of answers says what the kept results say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from scripted import tool

from hybridopt.composition import registry
from hybridopt.core.study import Judgement

ROOT = Path(__file__).parent.parent
KEPT = sorted((ROOT / "docs" / "studies").glob("*.json"))


@pytest.fixture(scope="module")
def maker() -> Any:
    return tool("make_thread")


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
    readings = tmp_path / "readings.toml"
    readings.write_text('[saddles]\nverdict = "mixed"\nsays = "It is\\n{share|.0%}."\n', encoding="utf-8")
    study = maker.find_study("saddles")
    answer = maker.Answer("saddles", study, None, Judgement("mixed", [], [], {"share": 0.5}))
    assert maker.said(answer, readings) == "It is 50%."
    with pytest.raises(SystemExit, match="when saddles was mixed, and it is refuted now"):
        maker.said(maker.Answer("saddles", study, None, Judgement("refuted", [], [])), readings)
    unread = maker.Answer("games", study, None, Judgement("mixed", ["As it was found."], []))
    assert maker.said(unread, readings) == "- As it was found."
