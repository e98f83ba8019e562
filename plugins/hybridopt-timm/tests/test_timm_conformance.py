"""What every plugin must do, tried on that of this package."""

from hybridopt.testing import installed, parametrize_with_checks


@parametrize_with_checks(installed(package="hybridopt-timm"))
def test_conformance(plugin, check):
    check(plugin)
