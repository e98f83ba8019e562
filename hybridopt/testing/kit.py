"""Named checks, which of them apply to a plugin, and what came out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal
from unittest import SkipTest

from hybridopt.composition.registry import Plugin
from hybridopt.errors import HybridoptError, PluginError, brief, options
from hybridopt.testing.plugins import CHECKS, KINDS, as_plugin, conformance

if TYPE_CHECKING:
    from torch import Tensor

SHARED = tuple(f"{__package__}.{name}" for name in ("general", "basics", "buffers", "effects"))  # of several kinds
EXPECTED = "expected_failures"

Expected = Mapping[str, str] | Callable[[Plugin], Mapping[str, str]]


class CheckFailure(AssertionError):
    """A plugin that does not do what is asked of it; the message is one sentence."""


class NotAsked(CheckFailure, SkipTest):
    """A check that waits for a more basic one, which fails; the message is that one's. For pytest it is skipped."""


def fail_if(wrong: Any, sentence: str) -> None:
    """Raise a :class:`CheckFailure` with this sentence where something is wrong."""
    if wrong:
        raise CheckFailure(sentence)


@contextmanager
def during(what: str) -> Iterator[None]:
    """Say of an exception when it came."""
    try:
        yield
    except CheckFailure:
        raise
    except Exception as error:
        raise CheckFailure(f"{what} it raises {type(error).__name__} ({brief(error)}).") from error


def unloadable(error: Exception) -> str:
    """What is wrong with a state that cannot be saved, or loaded with nothing that needs pickle."""
    lines = str(error).split("\n\t")
    if isinstance(error, RuntimeError) and len(lines) > 1:  # of load_state_dict, whose first line says nothing
        return f"{lines[1].strip().rstrip('.')}: set_extra_state belongs to get_extra_state, and state_dict to torch"
    if not isinstance(error, UnpicklingError):
        return brief(error)
    found = re.search(r"GLOBAL (\S+)", str(error))
    kind = f", here a {found[1].split('.')[0]} object" if found else ""
    return f"it holds more than tensors and plain values{kind}, which only pickle could load"


def finite(values: Tensor, what: str) -> None:
    """Refuse NaN and infinities."""
    fail_if(not values.isfinite().all(), f"{what} that are not finite.")


@dataclass(frozen=True)
class Check:
    """One thing that is asked of a plugin; call it with the plugin.

    Args:
        name: as reports, and ``expected_failures``, call it.
        function: takes a plugin, and raises where it fails.
        kinds: the kinds of plugin that it is for.
        applies: whether it is for this plugin, of one of these kinds.
        first: whether the other checks mean nothing where it fails, so that they are not run.
    """

    name: str
    function: Callable[[Plugin], None]
    kinds: tuple[str, ...]
    applies: Callable[[Plugin], bool]
    first: bool = False

    def __call__(self, plugin: Any) -> None:
        """Check a plugin, a class or a function.

        Raises:
            CheckFailure: in one sentence, what fails; it is a ``unittest.SkipTest`` too where a check that comes first
                has failed.
        """
        plugin = as_plugin(plugin)
        if self is not IMPORT and not self.first and (sentence := _first_failure(plugin)) is not None:
            raise NotAsked(sentence)
        from hybridopt.testing.process import restored  # torch, which whoever lists the checks does not need

        try:
            with restored():
                self.function(plugin)
        except (CheckFailure, HybridoptError) as error:
            raise CheckFailure(f"{plugin.kind} {plugin.name} fails {self.name}: {error}") from error
        except Exception as error:
            raised = f"it raises {type(error).__name__} ({brief(error)})"
            raise CheckFailure(f"{plugin.kind} {plugin.name} fails {self.name}: {raised}.") from error

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Outcome:
    """What came out of a check.

    Args:
        check: its name.
        status: "passed", "failed", or "expected" for a failure that was declared.
        sentence: what fails, or why that was expected; empty if it passed.
    """

    check: str
    status: Literal["passed", "failed", "expected"]
    sentence: str = ""


# -- the list ---------------------------------------------------------------------------------------------------------

_CHECKS: list[Check] = []


def check(
    *kinds: str, applies: Callable[[Plugin], bool] = lambda plugin: True, first: bool = False
) -> Callable[[Any], Any]:
    """Put a function on the list of checks, under its own name."""

    def add(function: Callable[[Plugin], None]) -> Callable[[Plugin], None]:
        _CHECKS.append(Check(function.__name__, function, kinds, applies, first))
        return function

    return add


def can_be_imported(plugin: Plugin) -> None:
    """The plugin can be imported, says nothing that the kit does not understand, and expects failures that exist."""
    known = {check.name for check in every_check() if plugin.kind in check.kinds}
    for name in conformance(plugin).expected_failures:
        fail_if(name not in known, unknown_sentence(name, known))


IMPORT = Check("can_be_imported", can_be_imported, (), lambda plugin: True)


@cache
def every_check() -> tuple[Check, ...]:
    """All that there are."""
    for module in (*SHARED, *(CHECKS[kind] for kind in KINDS)):
        import_module(module)
    return tuple(_CHECKS)


def checks(plugin: Any) -> list[Check]:
    """The checks that apply to a plugin, a class or a function: one alone where it cannot be imported."""
    plugin = as_plugin(plugin)
    try:
        conformance(plugin)
    except PluginError:
        return [IMPORT]
    asked = [one for one in every_check() if plugin.kind in one.kinds and applies(one, plugin)]
    return [IMPORT, *sorted(asked, key=lambda one: not one.first)]


@cache
def _first_failure(plugin: Plugin) -> str | None:
    """What the first of the checks that come first says which fails, and was not expected to; None if none does."""
    for one in checks(plugin):
        if one.first and one.name not in declared(plugin):
            try:
                one(plugin)
            except CheckFailure as failure:
                return str(failure)
    return None


def applies(check: Check, plugin: Plugin) -> bool:
    """Whether a check is for a plugin; where the plugin cannot even be asked, it is: it will fail, and say why."""
    try:
        return check.applies(plugin)
    except Exception:
        return True


def declared(plugin: Plugin, more: Expected | None = None) -> dict[str, str]:
    """The failures that are declared, by the plugin and besides, each with its reason.

    Raises:
        PluginError: there is no check of that name.
    """
    more = more(plugin) if callable(more) else more or {}
    known = {check.name for check in every_check()}
    for name in more:
        if name not in known:
            raise PluginError(unknown_sentence(name, known))
    try:
        return {**conformance(plugin).expected_failures, **more}
    except PluginError:
        return dict(more)


def unknown_sentence(name: str, known: Iterable[str]) -> str:
    return f"{EXPECTED} names {name!r}, and there is no such check.{options(known, name)}"


# -- without pytest ---------------------------------------------------------------------------------------------------


def run_checks(plugin: Any, expected_failures: Expected | None = None) -> list[Outcome]:
    """Check a plugin, a class or a function.

    Args:
        plugin: what is checked.
        expected_failures: deviations besides those that the plugin declares: name of a check -> reason, or a function
            that gives that for a plugin.

    Returns:
        What came out of each check that applies, up to one that comes first and fails, after which no other means
        anything. A deviation that was declared and is none has failed.
    """
    plugin = as_plugin(plugin)
    expected = declared(plugin, expected_failures)
    outcomes: list[Outcome] = []
    for one in checks(plugin):
        outcomes.append(outcome(one, plugin, expected.get(one.name)))
        if one.first and outcomes[-1].status == "failed":
            break
    return outcomes


def outcome(check: Check, plugin: Plugin, reason: str | None = None) -> Outcome:
    """Run one check, whose failure is expected if there is a reason."""
    try:
        check(plugin)
    except CheckFailure as failure:
        return (
            Outcome(check.name, "failed", str(failure)) if reason is None else Outcome(check.name, "expected", reason)
        )
    if reason is not None:
        return Outcome(
            check.name,
            "failed",
            f"{plugin.kind} {plugin.name} passes {check.name}, though it is declared to fail ({reason.rstrip('.')}): "
            f"take it out of {EXPECTED}.",
        )
    return Outcome(check.name, "passed")
