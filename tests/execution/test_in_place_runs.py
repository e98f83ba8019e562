"""Runs whose network lies in the memory of a search's vector: the same numbers, also after a resume."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from jobs import SMALL

from hybridopt import run
from hybridopt.execution.pretrained import read
from hybridopt.strategies.zeroth_order.mezo import Mezo

JOB = (*SMALL, "strategy=mezo", "oracle.chunk=1", "budget.forwards=4e3", "budget.marks=4", "seed=3")
LARGE = "hybridopt.engine.in_place.LARGE"


class Fallen(Exception):
    pass


def numbers(summary: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in summary.items() if "seconds" not in name and "memory" not in name}


def test_a_run_in_place_is_the_run_beside_it_also_when_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = run(*JOB, directory=tmp_path / "beside")
    monkeypatch.setattr(LARGE, 0)
    whole = run(*JOB, directory=tmp_path / "whole")
    assert numbers(whole.summary) == numbers(beside.summary)
    storages = {value.untyped_storage().data_ptr() for value in whole.module.parameters()}
    assert len(storages) == 1

    tell = Mezo.tell

    def fall(self: Mezo, *told: object) -> None:
        if self.progress > 0.6:
            raise Fallen
        tell(self, *told)

    with monkeypatch.context() as patch:
        patch.setattr(Mezo, "tell", fall)
        with pytest.raises(Fallen):
            run(*JOB, directory=tmp_path / "resumed")
    resumed = run(f"resume={tmp_path / 'resumed'}")
    assert numbers(resumed.summary) == numbers(beside.summary)
    weights = [next((tmp_path / name).rglob("*.safetensors")) for name in ("beside", "whole", "resumed")]
    found = [read(path) for path in weights]
    assert all(torch.equal(found[0][name], other[name]) for other in found[1:] for name in found[0])
