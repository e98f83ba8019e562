"""Pytest's side of the kit: ``pytest --hybridopt-check PACKAGE`` checks a package that has no test file; and fixtures.

Nothing heavy is imported before there is something to check: pytest loads this wherever hybridopt is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

OPTION = "--hybridopt-check"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch computes on one thread: small networks are slower on two, and much slower where cores are shared."""
    from hybridopt.testing.runs import threads

    with threads(1):
        yield


@pytest.fixture
def composed() -> Callable[..., dict[str, Any]]:
    """Overrides -> a resolved config of plain values, as a job gets it."""
    from hybridopt.composition.compose import compose, plain_values

    return lambda *overrides: plain_values(compose(*overrides))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("hybridopt").addoption(
        OPTION,
        action="append",
        default=[],
        metavar="PACKAGE",
        help="run hybridopt's conformance kit on the plugins of an installed package; may be repeated",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "hybridopt_check: a check of hybridopt's conformance kit")
    if config.getoption(OPTION) and config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []  # the kit alone, unless tests are asked for too


def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    packages = config.getoption(OPTION)
    if not packages:
        return
    from hybridopt.errors import PluginError
    from hybridopt.testing.parametrize import cases
    from hybridopt.testing.plugins import installed

    try:
        plugins = [plugin for package in packages for plugin in installed(package=package)]
    except PluginError as error:
        raise pytest.UsageError(str(error)) from error
    for name, plugin, check, marks in cases(plugins):
        item = ConformanceItem.from_parent(session, name=name, plugin=plugin, check=check)
        for mark in marks:
            item.add_marker(mark)
        items.append(item)


class ConformanceItem(pytest.Item):
    """One check of one plugin."""

    def __init__(self, *, plugin: Any, check: Any, **kwargs: Any):
        super().__init__(**kwargs)
        self.plugin, self.check = plugin, check

    def runtest(self) -> None:
        self.check(self.plugin)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        return str(excinfo.value) if excinfo.errisinstance(AssertionError) else super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.path, None, self.name
