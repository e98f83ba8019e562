"""Modules that strategies train by hand, and what their processes take of memory."""

from __future__ import annotations

from itertools import repeat

import pytest
import torch
from torch import nn

from hybridopt.errors import ConfigError, PluginError
from hybridopt.study.memory import growth, in_a_process
from hybridopt.study.training import train

BATCH = (torch.linspace(-1, 1, 16)[:, None], torch.linspace(-3, 3, 16)[:, None])


@pytest.mark.parametrize("strategy", [{"name": "adam", "lr": 0.1}, {"name": "openai_es", "lr": 0.1}])
def test_what_is_recommended_is_in_the_module(strategy: dict) -> None:
    module = nn.Linear(1, 1)
    ledger = train(strategy, module, "mse", repeat(BATCH), 0, forwards=2e5)
    assert ledger.forwards >= 2e5
    assert float(nn.functional.mse_loss(module(BATCH[0]).detach(), BATCH[1])) < 0.05


def test_batches_end_the_training_where_there_is_no_budget() -> None:
    assert train({"name": "sgd"}, nn.Linear(1, 1), "mse", repeat(BATCH, 5), 0).forwards == 5 * 3 * 16


def test_a_wrong_setting_is_refused_by_its_sentence() -> None:
    with pytest.raises(ConfigError, match="lrr"):
        train({"name": "adam", "lrr": 1}, nn.Linear(1, 1), "mse", repeat(BATCH), 0, 1e3)


def test_growth_sees_what_is_kept_and_not_what_was_there() -> None:
    kept = [torch.ones(2**22)]
    grown = growth(lambda: None, lambda: kept.append(torch.ones(2**24)))
    assert 60 <= grown <= 90  # 64 MB


def test_a_process_gives_the_number_that_it_prints_last() -> None:
    assert in_a_process("calendar", "2026", "2") == 28


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(PluginError, match=r"no_such_module.*run it by hand"):
        in_a_process("no_such_module", "1")
