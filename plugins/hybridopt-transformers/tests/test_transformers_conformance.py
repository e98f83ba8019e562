"""What every plugin must do, tried on those of this package."""

import pytest

from hybridopt.testing import installed, parametrize_with_checks

# torch's fused attention for CPUs has no rule for vmap, which then runs it member by member; the engine takes it so too
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop")


@parametrize_with_checks(installed(package="hybridopt-transformers"))
def test_conformance(plugin, check):
    check(plugin)
