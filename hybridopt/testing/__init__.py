"""The conformance kit: what anybody's plugin must do, as named checks, for pytest and for the command line.

In a package's own tests, as scikit-learn's users know it::

    from hybridopt.testing import installed, parametrize_with_checks


    @parametrize_with_checks(installed(package="my-package"))
    def test_conformance(plugin, check):
        check(plugin)

The same without a test file is ``pytest --hybridopt-check my-package``, and without pytest :func:`run_checks`.

A plugin may carry an attribute ``conformance`` (of the class, or set on the function after its definition), a dict with
any of these keys:

``settings``
    A list of settings that it is built with besides its defaults, or a function that takes an empty folder and returns
    one, where settings name files. The first one must give what has no default. A choice that appears in it is not
    tried alone.
``problem``
    Plain configs of a ``dataset``, a ``model`` and an ``objective``, each with its ``name``: what the plugin is tried
    on. What is left out is a small classification problem's.
``expected_failures``
    Names of checks, each with the reason why the plugin deviates. It fails the kit when the reason is gone.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hybridopt.testing.kit import Check as Check
    from hybridopt.testing.kit import CheckFailure as CheckFailure
    from hybridopt.testing.kit import Outcome as Outcome
    from hybridopt.testing.kit import checks as checks
    from hybridopt.testing.kit import run_checks as run_checks
    from hybridopt.testing.parametrize import parametrize_with_checks as parametrize_with_checks
    from hybridopt.testing.plugins import as_plugin as as_plugin
    from hybridopt.testing.plugins import installed as installed

_HOMES = {
    "Check": "hybridopt.testing.kit",
    "CheckFailure": "hybridopt.testing.kit",
    "Outcome": "hybridopt.testing.kit",
    "as_plugin": "hybridopt.testing.plugins",
    "checks": "hybridopt.testing.kit",
    "installed": "hybridopt.testing.plugins",
    "parametrize_with_checks": "hybridopt.testing.parametrize",
    "run_checks": "hybridopt.testing.kit",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hybridopt.testing' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
