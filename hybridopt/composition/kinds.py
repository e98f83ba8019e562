"""The kinds of plugin there are, one row each; whatever depends on the kinds is derived from this table.

A new kind is a row here, a folder of its own (``hybridopt/<plural>/``) and a file of checks of the conformance kit
(``hybridopt/testing/<plural>.py``). A template in ``programs/plugins/templates/<name>.txt`` lets users scaffold it.
Classes are named as ``module:attribute`` and not imported, so that listing and completion stay quick.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OURS = "hybridopt."  # the beginning of every entry point group that is read


@dataclass(frozen=True)
class Kind:
    """A kind of plugin.

    Args:
        name: as users type it.
        group: of entry points, ``hybridopt.<plural>``.
        contract: the class that such plugins derive from, or that the function makes.
        is_class: whether a plugin is usually a class; else it is a function that makes an object.
        part: whether every job has one, chosen by ``<name>=``.
        configured: whether it is chosen as a config group: as a part of the job, or as a setting of another plugin.
        example: what to type to try one; ``{name}`` stands for it.
        relatives: class -> the word by which plugins that derive from it are listed.
        attributes: attribute of the class -> the words by which its value is listed: a pair for true and false, or a
            pattern for each item of a set.
    """

    name: str
    group: str
    contract: str
    is_class: bool = True
    part: bool = True
    configured: bool = True
    example: str = ""
    relatives: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str | tuple[str, str]] = field(default_factory=dict)

    @property
    def plural(self) -> str:
        """The name of its folder, and of its file of checks."""
        return self.group.removeprefix(OURS)

    @property
    def public(self) -> str:
        """The contract as authors import it: our own from the root of the package."""
        module, _, attribute = self.contract.partition(":")
        return f"{OURS if module.startswith(OURS) else module + '.'}{attribute}"

    def imported(self) -> type | None:
        """The contract; None where its module has not been imported, so that no class can derive from it yet."""
        module, _, attribute = self.contract.partition(":")
        return getattr(sys.modules.get(module), attribute, None)


TABLE = (
    Kind(
        "model",
        "hybridopt.models",
        "torch.nn:Module",
        is_class=False,
        example="hybridopt model={name} strategy=adam",
    ),
    Kind(
        "dataset",
        "hybridopt.datasets",
        "pytorch_lightning:LightningDataModule",
        is_class=False,
        example="hybridopt dataset={name} strategy=adam",
    ),
    Kind(
        "objective",
        "hybridopt.objectives",
        "hybridopt.core.objective:Objective",
        example="hybridopt objective={name} strategy=openai_es",  # which needs no gradient
        attributes={"differentiable": ("gradient", "no gradient"), "tasks": "for {}"},
    ),
    Kind(
        "encoding",
        "hybridopt.encodings",
        "hybridopt.core.encoding:Encoding",
        example="hybridopt encoding={name} strategy=openai_es",
        relatives={"hybridopt.core.encoding:SparseEncoding": "sparse"},
    ),
    Kind(
        "strategy",
        "hybridopt.strategies",
        "hybridopt.core.strategy:Strategy",
        example="hybridopt strategy={name}",
        relatives={
            "hybridopt.core.search:Search": "search",
            "hybridopt.core.hybrid:Hybrid": "hybrid",
            "hybridopt.toolbox.wrapper:Wrapper": "wrapper",
        },
        attributes={"requires": "needs {}", "hands_over": "gives {}", "takes": "takes {}"},
    ),
    Kind(
        "trigger",
        "hybridopt.triggers",
        "hybridopt.core.trigger:Trigger",
        part=False,
        example="hybridopt strategy=sequence +strategy/phases@strategy.phases.a=openai_es "
        "+strategy/phases@strategy.phases.b=adam +trigger@strategy.until.a={name}",
        attributes={"needs": "needs {}"},
    ),
    Kind(
        "callback",
        "hybridopt.callbacks",
        "pytorch_lightning:Callback",
        part=False,
        configured=False,
        example="hybridopt '+trainer.callbacks.{name}={{}}'",
    ),
    Kind(
        "study",
        "hybridopt.studies",
        "hybridopt.core.study:Study",
        part=False,
        configured=False,
        example="hybridopt-study run {name}",
    ),
)
KINDS = {kind.name: kind for kind in TABLE}
GROUPS = {kind.name: kind.group for kind in TABLE}
CONFIGURED = tuple(kind.name for kind in TABLE if kind.configured)
PARTS = tuple(kind.name for kind in TABLE if kind.part)
CONTRACTS = {kind.contract.replace(":", "."): kind for kind in TABLE}


def kind_of(group: str) -> str | None:
    """The kind of plugin that a config group offers, or None."""
    parts = group.strip("/").split("/")
    if parts[0] not in CONFIGURED:
        return None
    return parts[-1] if parts[-1] in CONFIGURED else parts[0]


def of_class(cls: Any) -> Kind | None:
    """The kind whose contract a class derives from, the nearest one where there are several; None if there is none."""
    contracts = {kind.imported(): kind for kind in TABLE}
    return next((contracts[base] for base in getattr(cls, "__mro__", ()) if base in contracts), None)
