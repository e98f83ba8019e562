"""What Lightning and torch say while a run trains, in a sentence; what a plugin raises keeps its traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from jobs import SMALL
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from hybridopt.composition.compose import compose, plain_values
from hybridopt.errors import ConfigError
from hybridopt.execution import experiment
from hybridopt.execution.runtime import explaining_training

QUICK = (*SMALL, "strategy=adam", "budget.forwards=2e3", "trainer.enable_progress_bar=false")


def test_a_derivative_that_is_nan_is_told(tmp_path: Path) -> None:
    config = plain_values(compose(*QUICK, "strategy.lr=1e30", "+trainer.detect_anomaly=true"))
    with pytest.raises(ConfigError, match=r"trainer\.detect_anomaly found .* NaN \(Function .*\): take smaller steps"):
        experiment.run(config, tmp_path / "run")


@pytest.mark.parametrize(
    ("error", "told"),
    [(MisconfigurationException("`x` must\n be 1."), ConfigError), (RuntimeError("shapes"), RuntimeError)],
)
def test_only_lightnings_own_refusals_are_shortened(error: Exception, told: type[Exception]) -> None:
    with pytest.raises(told) as raised, explaining_training():
        raise error
    assert told is RuntimeError or str(raised.value).endswith("settings: `x` must be 1.")
