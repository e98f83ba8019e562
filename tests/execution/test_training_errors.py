"""What Lightning and torch say while a run trains, in a sentence; what a plugin raises keeps its traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobs import SMALL
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from hybridopt.composition.compose import compose, plain_values
from hybridopt.errors import ConfigError, DataError
from hybridopt.execution import experiment
from hybridopt.execution.runtime import explaining_training

QUICK = (*SMALL, "strategy=adam", "budget.forwards=2e3", "trainer.enable_progress_bar=false")


def test_a_derivative_that_is_nan_is_told(tmp_path: Path) -> None:
    config = plain_values(compose(*QUICK, "strategy.lr=1e30", "+trainer.detect_anomaly=true"))
    with pytest.raises(ConfigError, match=r"trainer\.detect_anomaly found .* NaN \(Function .*\): take smaller steps"):
        experiment.run(config, tmp_path / "run")


def test_a_held_out_set_too_small_for_a_metric_is_told_before_the_run(tmp_path: Path) -> None:
    (tmp_path / "tiny.csv").write_text("u,v,y\n" + "".join(f"{i},{i % 3},{i / 7:.3f}\n" for i in range(6)))
    overrides = ("dataset=arrays", f"dataset.path={tmp_path / 'tiny.csv'}", "dataset.target=y", "objective=mse")
    config = plain_values(compose(*overrides, "strategy=adam", "tracking=none", "budget.forwards=2e3"))
    with pytest.raises(
        DataError, match=r"The val set is too small, with 1 in it, for the metrics of .* make it larger"
    ):
        experiment.run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "told"),
    [(MisconfigurationException("`x` must\n be 1."), ConfigError), (RuntimeError("shapes"), RuntimeError)],
)
def test_only_lightnings_own_refusals_are_shortened(error: Exception, told: type[Exception]) -> None:
    with pytest.raises(told) as raised, explaining_training():
        raise error
    assert told is RuntimeError or str(raised.value).endswith("settings: `x` must be 1.")
