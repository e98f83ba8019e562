"""A config can be composed where a program of Hydra's calls, which goes on as before."""

from __future__ import annotations

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra

from hybridopt import ConfigError, compose


@pytest.mark.parametrize("overrides", [("strategy=adam",), ("strategy=nobody",)])
def test_the_other_program_has_its_own_again(overrides: tuple[str, ...]) -> None:
    with hydra.initialize(version_base="1.3", config_path=None):
        before = GlobalHydra.instance().hydra
        if overrides == ("strategy=adam",):
            assert compose(*overrides).strategy.name == "adam"
        else:
            with pytest.raises(ConfigError):
                compose(*overrides)
        assert GlobalHydra.instance().hydra is before
    assert not GlobalHydra.instance().is_initialized()
