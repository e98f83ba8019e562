"""Everything that this package installs does what the kit asks."""

from hybridopt.testing import installed, parametrize_with_checks


@parametrize_with_checks(installed(package="hybridopt-reproductions"))
def test_conformance(plugin, check):
    check(plugin)
