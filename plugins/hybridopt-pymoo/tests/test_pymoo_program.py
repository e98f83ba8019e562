"""Fronts as users find them: with the program's config, on real data."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hybridopt import ConfigError, compose, run

QUIET = ("tracking=none", "trainer.enable_progress_bar=false", "budget.marks=4")
STATE = "checkpoints/last.ckpt"


@pytest.mark.parametrize(
    "overrides", [(), ("dataset.batch_size=null", "strategy=sms_emoa", "strategy.variation=binary")]
)
def test_the_preset_finds_sparse_networks_and_better_ones(overrides: tuple[str, ...], tmp_path: Path) -> None:
    run(*QUIET, "experiment=sparse_front", "budget.forwards=5e5", *overrides, directory=tmp_path)
    state = torch.load(tmp_path / STATE, weights_only=True)["state_dict"]
    losses, kept = state["strategy.values"].T
    assert kept.min() < 0.05 < 0.1 < kept[losses.argmin()]
    assert losses.min() < 2.29  # log 10 is that of a network without weights


def test_the_preset_is_what_it_says() -> None:
    config = compose("experiment=sparse_front")
    assert [*config.objective.parts] == ["loss", "sparsity"]
    assert (config.encoding.name, config.encoding.rule, config.encoding.init) == (
        "supermask",
        "sign",
        "signed_constant",
    )
    assert (config.strategy.name, config.strategy.variation) == ("nsga2", "binary")


def test_one_objective_is_refused() -> None:
    with pytest.raises(ConfigError, match="NSGA2 searches a front of several objectives, and there is one"):
        run(*QUIET, "strategy=nsga2", "budget.forwards=1e4")
