"""Marks at equal ratios: where they lie, and what a run shows at them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hybridopt import Budget, ConfigError, compose, run
from hybridopt.composition.compose import plain_values
from hybridopt.core.ledger import Ledger
from hybridopt.execution.identity import fingerprint


@given(st.sampled_from(["even", "log"]), st.integers(1, 1000), st.data())
def test_a_point_is_passed_where_it_lies_and_not_before(spacing: str, points: int, data: st.DataObject) -> None:
    budget = Budget(forwards=1e6, spacing=spacing)
    point = data.draw(st.integers(1, points))
    share = budget.share_at(point, points)
    assert budget.points_passed(share * (1 + 1e-9), points) == point
    assert budget.points_passed(share * (1 - 1e-6), points) == point - 1
    assert budget.share_at(points, points) == pytest.approx(1.0)
    assert budget.points_passed(0.0, points) == 0


def test_a_phase_has_the_spacing_of_its_run() -> None:
    ledger = Ledger(Budget(forwards=100, marks=7, spacing="log"))
    assert (ledger.phase("a", 0.5).budget.marks, ledger.phase("a", 0.5).budget.spacing) == (7, "log")


def test_another_word_is_refused() -> None:
    with pytest.raises(ConfigError, match="even or log"):
        Budget(forwards=1, spacing="linear")
    with pytest.raises(ConfigError, match=r"budget\.spacing"):
        plain_values(compose("budget.spacing=linear"))


def test_runs_of_before_are_known_again() -> None:
    config = plain_values(compose("strategy=adam"))
    before = config | {"budget": {key: value for key, value in config["budget"].items() if key != "spacing"}}
    assert fingerprint(config) == fingerprint(before)
    assert fingerprint(plain_values(compose("strategy=adam", "budget.spacing=log"))) != fingerprint(config)


def test_a_run_is_validated_at_equal_ratios(tmp_path: Path) -> None:
    job = ("strategy=sgd", "dataset=iris", "dataset.batch_size=4", "tracking=none", "trainer.enable_progress_bar=false")
    result = run(*job, "budget.forwards=12000", "budget.marks=12", "budget.spacing=log", directory=tmp_path)
    assert result is not None
    ratios = [forwards / 12_000 for forwards, _ in result.curve]
    assert ratios == pytest.approx([10 ** (-3 + 3 * mark / 12) for mark in range(1, 13)], rel=0.6)
    assert result.curve[0][0] < 40  # a step is 12 forwards, and the first mark lies at 21
