"""What the first generation of a run would refuse is refused before there is a run."""

from pathlib import Path

import pytest
from jobs import SMALL

from hybridopt import names, run
from hybridopt.errors import ConfigError

ASK_FIRST = {  # something that costs less than a generation
    "guided_es": "a surrogate gradient",
    "ns_es": "the agents' behaviours",
    "nsr_es": "the agents' behaviours",
    "nsra_es": "the agents' behaviours",
    "safe_mutation": "a Jacobian",
    "merge": "which networks are to be merged",
}
WHOLE = [setting for setting in SMALL if not setting.startswith("dataset.batch_size")]


@pytest.mark.parametrize("name", sorted(ASK_FIRST))
def test_a_generation_beyond_the_budget_is_refused_whatever_is_asked_before_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="more than the whole budget of 600"):
        run(*WHOLE, f"strategy={name}", "budget.forwards=600", directory=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", names("strategy"))
def test_a_budget_that_is_too_small_leaves_nothing(name: str, tmp_path: Path) -> None:
    """Or is enough, and the run ends."""
    try:
        run(*WHOLE, f"strategy={name}", "budget.forwards=300", directory=tmp_path / "run")
    except ConfigError:
        assert not (tmp_path / "run").exists()
