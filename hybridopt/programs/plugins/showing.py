"""All that can be said of one plugin."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from hybridopt.composition import registry
from hybridopt.composition.describe import read
from hybridopt.composition.kinds import KINDS
from hybridopt.composition.source import Place, Unreadable, find
from hybridopt.programs.plugins import isolated, listing
from hybridopt.programs.plugins.settings import Setting, setting


@dataclass(frozen=True)
class Facts:
    """One plugin.

    Args:
        row: as it is listed.
        docstring: all of it.
        file: ``path:line``.
        settings: what users may set.
        needs: what it needs of an objective, or of what else, in a sentence; empty if nothing.
        example: a command to try.
        problem: why some of this is missing, in a sentence, or None.
    """

    row: listing.Row
    docstring: str
    file: str
    settings: tuple[Setting, ...]
    needs: str
    example: str
    problem: str | None = None


def facts_of(plugin: registry.Plugin, limit: float) -> Facts:
    """Read a plugin's source; where that does not tell, import it in another process, for ``limit`` seconds at most.

    What this process has imported anyway is looked at itself.
    """
    row = listing.row(plugin)
    place = find(plugin.entry_point.value)
    there = plugin.entry_point.module in sys.modules
    try:
        parameters = (plugin.describe() if there else read(plugin.entry_point.value)).parameters
        if place is None:
            raise Unreadable
        settings = tuple(setting(parameter) for parameter in parameters)
        return Facts(row, place.docstring, place.file, settings, needs(row), example(row, settings))
    except Unreadable:
        return _imported(plugin, row, place, limit)


def _imported(plugin: registry.Plugin, row: listing.Row, place: Place | None, limit: float) -> Facts:
    (answer,) = isolated.answers("show", [isolated.item(plugin)], limit)
    if answer.fault is None:
        value = answer.value
        settings = tuple(Setting(**said) for said in value["settings"])
        file = value["file"] or (place.file if place else "")
        return Facts(row, value["docstring"], file, settings, needs(row), example(row, settings))
    fault = answer.fault
    if not fault[0].isupper():
        fault = (
            f"The {plugin.kind} plugin {plugin.name!r} of the package {plugin.distribution!r} cannot be described, "
            f"since when it is imported, {fault}: repair or reinstall that package."
        )
    said: dict[str, Any] = (
        {"docstring": place.docstring, "file": place.file} if place else {"docstring": "", "file": ""}
    )
    return Facts(row, **said, settings=(), needs=needs(row), example=example(row, ()), problem=fault)


def needs(row: listing.Row) -> str:
    """What a plugin needs of its partners."""
    asked = [word.removeprefix("needs ") for word in row.capabilities if word.startswith("needs ")]
    tasks = [word.removeprefix("for ") for word in row.capabilities if word.startswith("for ")]
    if "hybrid" in row.capabilities or "wrapper" in row.capabilities:
        return "whatever its parts need of objective and encoding"
    if asked:
        slope = {"gradient", "jvp", "loss_slope"} & set(asked)
        answers = [word for word in asked if word not in ("direct", "gradient", "loss_slope")]
        told = ["an objective that has a gradient" if slope else "any objective"]
        told += ["no encoding (encoding=direct)"] if "direct" in asked else []
        return "; ".join([*told, *([f"asks the oracle for {' and '.join(answers)}"] if answers else [])])
    if tasks:
        return f"data for {' or '.join(tasks)}"
    return ""


def example(row: listing.Row, settings: tuple[Setting, ...]) -> str:
    """A command that chooses the plugin, and of a part of the job what it asks for, or one of its settings."""
    kind = KINDS[row.kind]
    numbers = (setting for setting in settings if setting.type.removesuffix(" | null") in ("int", "float"))
    plain = next((setting for setting in numbers if setting.default not in ("", "null")), None)
    asked = [f" {row.kind}.{setting.name}=<{setting.name}>" for setting in settings if not setting.default]
    chosen = [f" {row.kind}.{plain.name}={plain.default}"] if plain else []
    return f"{kind.example.format(name=row.name)}{''.join(asked or chosen if kind.part else ())}"
