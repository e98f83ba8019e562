"""CMA-ES as users run it: with the program's config, on real data, stopped and resumed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hybridopt import compose, run

QUIET = ("tracking=none", "trainer.enable_progress_bar=false", "budget.marks=4")


@pytest.mark.parametrize(
    ("overrides", "accuracy"),
    [
        (("strategy=sep_cma_es", "budget.forwards=4e5"), 0.65),
        (("strategy=cma_es", "strategy.covariance=diagonal", "budget.forwards=4e5"), 0.65),
        (("experiment=cma_subspace", "budget.forwards=6e5"), 0.63),
    ],
)
def test_digits_are_learned(overrides: tuple[str, ...], accuracy: float, tmp_path: Path) -> None:
    """Chance is 0.1. The levels are 0.1 below the worst of five seeds."""
    summary = run(*QUIET, *overrides, directory=tmp_path).summary
    assert summary["test/accuracy"] > accuracy


def test_the_preset_is_what_it_says() -> None:
    config = compose("experiment=cma_subspace")
    assert config["strategy"] == {
        "name": "cma_es",
        "popsize": None,
        "sigma": 0.05,
        "covariance": "full",
        "active": True,
        "restarts": "none",
        "tolfun": 0.0,
    }
    assert config["encoding"] == {"name": "subspace", "dimension": 200}


def test_a_later_phase_of_a_hybrid_begins_where_the_former_one_ended(tmp_path: Path) -> None:
    phases = ("strategy=sequence", "+strategy/phases@strategy.phases.a=adam", "dataset=iris", "model.hidden=[4]")
    shares = ("+strategy.shares={a: 0.5, b: 0.5}", "+strategy/phases@strategy.phases.b=cma_es", "budget.forwards=2e4")
    run(*QUIET, *phases, *shares, "strategy.phases.b.sigma=0.01", directory=tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "journal.jsonl").read_text().splitlines()]
    losses = [row["values"]["val/loss"] for row in rows if "val/loss" in row.get("values", {})]
    assert losses[-1] < losses[1] < losses[0]
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert state["strategy.phases.b._extra_state"]["settings"]["sigma"] == 0.01
