"""The page on the Python API is true: its blocks run one after the other, and do what is said around them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from torch import nn

PAGE = Path(__file__).parent.parent / "docs" / "python.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
FORWARDS = 2e4

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Lightning advises whoever trains on a CPU; for a script that is no error
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The page's namespace when it has run, in a directory of its own."""
    namespace: dict[str, Any] = {"__name__": "page", "after": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in BLOCKS:
            exec(compile(block, str(PAGE), "exec"), namespace)
            namespace["after"].append(namespace.get("trial"))
    return namespace


def test_a_run_gives_a_result(page: dict[str, Any]) -> None:
    result = page["result"]
    assert {"test/accuracy", "test/loss", "val/accuracy"} <= set(result.metrics)
    assert result.curve[-1][0] == result.summary["cost/forwards"] >= FORWARDS
    assert isinstance(page["network"], nn.Module)
    assert result.run_id in result.review
    assert (Path(result.directory) / "result.json").exists()


def test_a_notebook_shows_it_as_a_table(page: dict[str, Any]) -> None:
    shown = page["result"]._repr_html_()
    assert "<pre" in shown
    assert all(word in shown for word in ("forwards", "total", "accuracy", page["result"].directory))


def test_a_finished_run_gives_its_result_again(page: dict[str, Any]) -> None:
    assert page["again"].directory.endswith("runs/es")
    assert page["again"].run_id is None
    assert page["again"].summary["cost/forwards"] >= FORWARDS


def test_what_is_built_keeps_what_the_config_says(page: dict[str, Any]) -> None:
    built = page["parts"].trial
    assert built.encoding.dimension == 20
    assert built.ledger.exhausted
    assert set(built.tested) == {"test/loss", "test/accuracy", "test/f1"}


def test_every_trial_is_trained_to_its_budget_with_any_data(page: dict[str, Any]) -> None:
    trials = {id(trial): trial for trial in page["after"] if trial is not None}.values()
    assert len(trials) == 3  # with loaders, with a datamodule, and resumed
    assert all(trial.ledger.exhausted and len(trial.curve) == 10 for trial in trials)
