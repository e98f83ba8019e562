"""Checks as pytest's parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from hybridopt.composition.registry import Plugin
from hybridopt.testing.kit import Check, Expected, checks, declared
from hybridopt.testing.plugins import as_plugin

if TYPE_CHECKING:
    import pytest

MARKER = "hybridopt_check"


def parametrize_with_checks(plugins: Iterable[Any], expected_failures: Expected | None = None) -> Callable[[Any], Any]:
    """Run a test function, of a ``plugin`` and a ``check``, for each check of each plugin.

    Args:
        plugins: what :func:`installed` gives, classes, or functions.
        expected_failures: deviations besides those that the plugins declare: name of a check -> reason, or a function
            that gives that for a plugin. They become strict xfails.

    Returns:
        A decorator.
    """
    import pytest

    parameters = [
        pytest.param(plugin, check, id=name, marks=marks)
        for name, plugin, check, marks in cases(plugins, expected_failures)
    ]
    return pytest.mark.parametrize(("plugin", "check"), parameters)


def cases(
    plugins: Iterable[Any], expected: Expected | None = None
) -> Iterator[tuple[str, Plugin, Check, list[pytest.MarkDecorator]]]:
    """Each check of each plugin: an id that no other has, plugin, check, and the marks of a test of it."""
    import pytest

    plugins = [as_plugin(plugin) for plugin in plugins]
    for plugin, title in zip(plugins, titles(plugins), strict=True):
        deviations = declared(plugin, expected)
        for check in checks(plugin):
            marks = [getattr(pytest.mark, MARKER)]
            if check.name in deviations:
                marks.append(pytest.mark.xfail(reason=deviations[check.name], strict=True))
            yield f"{title}-{check.name}", plugin, check, marks


def titles(plugins: list[Plugin]) -> list[str]:
    """Names; with the kind before them, and the package, where a name alone would not tell."""
    found = [plugin.name for plugin in plugins]
    for longer in (lambda p: f"{p.kind}:{p.name}", lambda p: f"{p.distribution}:{p.kind}:{p.name}"):
        count = Counter(found)
        found = [longer(p) if count[title] > 1 else title for p, title in zip(plugins, found, strict=True)]
    return found
