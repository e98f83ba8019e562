"""The kit, over every plugin of this package."""

from __future__ import annotations

from hybridopt.testing import installed, parametrize_with_checks


@parametrize_with_checks(installed(package="hybridopt-pyribs"))
def test_conformance(plugin, check):
    check(plugin)
