"""What every built-in plugin must do, by the kit; and whole runs, for each of the ways in which a trial is used."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from directories import assert_same, curve
from jobs import FORWARDS, SMALL
from mechanisms import representatives
from pytorch_lightning import Callback

from hybridopt.composition.registry import Plugin
from hybridopt.errors import Interrupted
from hybridopt.execution import experiment, trainers
from hybridopt.testing import Check, installed, parametrize_with_checks

MECHANISMS = representatives()


@parametrize_with_checks(installed(package="hybridopt"))
def test_conformance(plugin: Plugin, check: Check) -> None:
    check(plugin)


# -- whole runs -------------------------------------------------------------------------------------------------------


@pytest.fixture(params=MECHANISMS)
def config(request: pytest.FixtureRequest, composed: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    overrides = [*SMALL, f"budget.forwards={FORWARDS}", "trainer.enable_progress_bar=false"]
    return composed(*overrides, *MECHANISMS[request.param])


def test_improves_within_its_budget(config: dict[str, Any], tmp_path: Path) -> None:
    summary = experiment.run(config, tmp_path).summary
    points = [row for row in curve(tmp_path) if "val/loss" in row]
    assert summary["final/val/loss"] < math.log(3)  # what a network that knows nothing has on three kinds of flowers
    assert len(points) >= config["budget"]["marks"]
    assert FORWARDS <= summary["cost/forwards"] < 1.2 * FORWARDS
    assert summary["cost/overshoot"] == pytest.approx(summary["cost/forwards"] / FORWARDS - 1)
    assert points[-1]["step"] == summary["cost/forwards"]


def test_same_seed_same_numbers(config: dict[str, Any], tmp_path: Path) -> None:
    config["budget"]["forwards"] = FORWARDS / 4
    torch.manual_seed(1)
    experiment.run(config, tmp_path / "one")
    torch.manual_seed(2)  # the global generator is the source of nothing
    experiment.run(config, tmp_path / "two")
    assert_same(tmp_path / "one", tmp_path / "two")


def test_other_seed_other_numbers(config: dict[str, Any], tmp_path: Path) -> None:
    config["budget"]["forwards"] = FORWARDS / 4
    experiment.run(config, tmp_path / "one")
    experiment.run(config | {"seed": 1}, tmp_path / "two")
    assert curve(tmp_path / "one") != curve(tmp_path / "two")


class SignalAt(Callback):
    """Sends this process a signal once a share of the budget is spent, as a user at the keyboard would."""

    def __init__(self, share: float):
        self.share = share

    def on_train_batch_start(self, trainer: Any, trial: Any, *args: Any) -> None:
        if trial.ledger.progress >= self.share:
            self.share = 2.0
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("share", [0.13, 0.7])
def test_resumed_equals_uninterrupted(
    config: dict[str, Any], share: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment.run(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(trainers, "BudgetBar", lambda: SignalAt(share))
        with pytest.raises(Interrupted, match="hybridopt resume="):
            experiment.run(config | {"trainer": config["trainer"] | {"enable_progress_bar": True}}, tmp_path / "parts")
    assert not (tmp_path / "parts" / "result.json").exists()
    experiment.run({"resume": "parts"}, tmp_path / "parts")
    assert_same(tmp_path / "whole", tmp_path / "parts")
