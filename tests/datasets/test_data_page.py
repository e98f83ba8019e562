"""docs/data.md is true: its commands name data that are read as it says."""

import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hybridopt import build, compose

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)[1:] for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()
]


@pytest.fixture(autouse=True)
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    flats = pd.DataFrame(rng.normal(size=(60, 2)), columns=["size", "rooms"])
    flats = flats.assign(price=flats["rooms"] + 0.5)
    flats.to_csv("flats.csv", index=False)
    flats.rename(columns={"size": "Size (m2)", "price": "Price ($)"}).to_csv("offers.csv", index=False)
    flats.assign(part=np.tile(["train", "train", "val", "test"], 15)).to_csv("parts.csv", index=False)
    birds = pd.DataFrame(rng.uniform(1, 2, size=(60, 2)), columns=["wing", "weight"])
    birds = birds.assign(kind=np.tile(["ant", "bee", "None"], 20))
    birds.to_csv("birds.csv", index=False)
    birds[:9].to_csv("more_birds.csv", index=False)


def test_there_are_commands():
    assert len(COMMANDS) >= 8


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_commands_can_be_built(command):
    config = compose(*command, "tracking=none", "trainer.enable_progress_bar=false")
    assert build(config).datamodule.spec.input_shape
