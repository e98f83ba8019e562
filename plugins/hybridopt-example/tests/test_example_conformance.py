"""What hybridopt asks of every plugin, asked of this package's."""

from hybridopt.testing import installed, parametrize_with_checks


@parametrize_with_checks(installed(package="hybridopt-example"))
def test_conformance(plugin, check):
    check(plugin)
