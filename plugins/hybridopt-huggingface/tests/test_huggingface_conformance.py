"""The conformance kit over the data sets of this package."""

from hybridopt.testing import installed, parametrize_with_checks


@parametrize_with_checks(installed(package="hybridopt-huggingface"))
def test_conformance(plugin, check):
    check(plugin)
