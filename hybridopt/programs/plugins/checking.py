"""The conformance kit, run on what is installed in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from hybridopt.composition import registry
from hybridopt.programs.plugins import isolated, listing


@dataclass(frozen=True)
class Report:
    """What came of the checks of a plugin.

    Args:
        kind: of the plugin.
        name: as users type it.
        package: what brings it.
        passed: the names of the checks that it passes.
        expected: check -> the reason why its failure was declared.
        failures: check -> a sentence.
    """

    kind: str
    name: str
    package: str
    passed: tuple[str, ...]
    expected: Mapping[str, str]
    failures: Mapping[str, str]


def reports(plugins: Sequence[registry.Plugin], limit: float) -> Iterator[Report]:
    """A report for each plugin, as it is done; ``limit`` is in seconds for each."""
    for _, group in groupby(plugins, key=lambda plugin: plugin.distribution):
        own = list(group)
        for plugin, answer in zip(own, isolated.answers("check", [isolated.item(p) for p in own], limit), strict=True):
            yield report(plugin, answer)


def report(plugin: registry.Plugin, answer: isolated.Answer) -> Report:
    """The outcomes of a plugin's checks, sorted by what they are."""
    named = (plugin.kind, listing.name_of(plugin), plugin.distribution)
    if answer.fault is not None:
        fault = answer.fault
        whole = fault if fault[0].isupper() else f"While {plugin.kind} {plugin.name} is checked, {fault}."
        return Report(*named, (), {}, {"the kit": whole})
    said = {outcome["check"]: outcome for outcome in answer.value}
    by = {
        status: {name: outcome["sentence"] for name, outcome in said.items() if outcome["status"] == status}
        for status in ("passed", "expected", "failed")
    }
    return Report(*named, tuple(by["passed"]), by["expected"], by["failed"])
