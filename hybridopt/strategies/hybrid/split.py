"""A strategy for each group of parameters, all on the same batch (Lenc, Elsen, Schaul & Simonyan 2019).

Non-Differentiable Supervised Learning with Evolution Strategies and Hybrid Methods, https://arxiv.org/abs/1906.03139.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar, cast

import torch

from hybridopt.core.encoding import Encoding
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.core.strategy import Parts, Record, Strategy
from hybridopt.engine.named import NamedModules
from hybridopt.errors import ConfigError


class Split(Strategy):
    """Parameters in groups, each with a strategy of its own, which take a step each on every batch.

    Good for networks of which a part has no useful gradient, such as weights before a threshold.

    The groups step in their order, each with the others as they have just become. All spend from one budget.

    Args:
        groups: the strategies by name, such as ``+strategy/groups@strategy.groups.rest=adam``.
        patterns: shell-style patterns of parameters' names by group, several separated by blanks, such as
            ``strategy.patterns.head="3.* 4.bias"``; at most one group has none, and takes what the others leave.

    Raises:
        ConfigError: there are not two groups, or patterns and groups do not fit; at the start of a run also where a
            parameter is left out or claimed twice, or a group is empty.
    """

    requires: ClassVar[frozenset[str]] = frozenset({"direct"})
    conformance: ClassVar[dict[str, Any]] = {
        "settings": [
            {"groups": {"head": {"name": "adam"}, "rest": {"name": "openai_es"}}, "patterns": {"head": "*bias"}}
        ],
        "expected_failures": {"dimension_of_one": "a single parameter cannot be shared out between two groups"},
    }

    def __init__(self, groups: dict[str, Strategy], patterns: dict[str, str] = {}):
        super().__init__()
        check_groups(groups, patterns)
        self.groups, self.patterns = cast(Mapping[str, Strategy], NamedModules(groups)), dict(patterns)
        self._views: dict[str, Oracle] = {}

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
        return {f"{name} only": (f"strategy=@groups.{name}",) for name in settings["groups"]}

    def parts(self, encoding: Encoding) -> Parts:
        return {f"groups.{name}": (group, encoding) for name, group in self.groups.items()}

    def attach(self, oracle: Oracle) -> None:
        members = shared_out(oracle.parameters(), self.groups, self.patterns)
        for name, group in self.groups.items():
            account = oracle.resumed(name) if name in oracle.ledger.phases else oracle
            self._views[name] = account.restricted(members[name])
            group.attach(self._views[name])

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        members = shared_out(oracle.parameters(), self.groups, self.patterns)
        for name, group in self.groups.items():
            self._views[name] = oracle.phase(name).restricted(members[name])
            group.attach(self._views[name])
            group.begin(self._views[name], batch)

    def step(self, oracle: Oracle, batch: Batch) -> Record:
        worked, records = {}, {}
        for name, group in self.groups.items():
            began, oracle.ledger.active = time.perf_counter(), name
            records |= {f"{name}/{key}": value for key, value in self._step(name, group, batch).items()}
            worked[name] = time.perf_counter() - began
        oracle.ledger.active, oracle.ledger.worked = None, worked
        losses = [records[f"{name}/loss"] for name in self.groups if f"{name}/loss" in records]
        return records | ({"loss": losses[-1]} if losses else {})

    def _step(self, name: str, group: Strategy, batch: Batch) -> Record:
        """A group's step, after which the model is what the group recommends."""
        if group.finished():
            return {}
        record = group.step(self._views[name], batch)
        z = group.recommend()
        if z is not None:
            self._views[name].assign(z)
        return record

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [optimizer for group in self.groups.values() for optimizer in group.optimizers()]

    def finished(self) -> bool:
        return all(group.finished() for group in self.groups.values())

    def phase_over(self) -> bool:
        return any(group.phase_over() for group in self.groups.values())

    def facts(self) -> Mapping[str, str]:
        return {f"{name}.{key}": fact for name, group in self.groups.items() for key, fact in group.facts().items()}


def check_groups(groups: Mapping[str, Strategy], patterns: Mapping[str, str]) -> None:
    """Refuse groups and patterns that do not fit."""
    if len(groups) < 2:
        raise ConfigError(
            "strategy=split needs two groups or more, for example +strategy/groups@strategy.groups.head=adam "
            "+strategy/groups@strategy.groups.rest=openai_es '+strategy.patterns.head=\"*.bias\"'."
        )
    unknown, without = patterns.keys() - groups.keys(), [name for name in groups if not patterns.get(name, "").split()]
    if unknown:
        raise ConfigError(
            f"strategy.patterns names {' and '.join(sorted(unknown))}, which is no group: the groups are "
            f"{', '.join(groups)}."
        )
    if len(without) > 1:
        raise ConfigError(
            f"The groups {' and '.join(without)} have no patterns, and only one can take what the others leave: set "
            f"strategy.patterns.{without[0]}."
        )


def shared_out(
    parameters: Iterable[str], groups: Iterable[str], patterns: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """The names of each group's parameters.

    Raises:
        ConfigError: a parameter is left out or claimed twice, or a group has none.
    """
    claims = {
        parameter: [
            name for name in groups if any(fnmatchcase(parameter, one) for one in patterns.get(name, "").split())
        ]
        for parameter in parameters
    }
    twice = next((parameter for parameter, names in claims.items() if len(names) > 1), None)
    if twice is not None:
        first, second = claims[twice][:2]
        raise ConfigError(
            f"The parameter {twice} matches both strategy.patterns.{first}={patterns[first]!r} and "
            f"strategy.patterns.{second}={patterns[second]!r}: each belongs to one group."
        )
    rest = next((name for name in groups if not patterns.get(name, "").split()), None)
    left = [parameter for parameter, names in claims.items() if not names]
    if left and rest is None:
        raise ConfigError(
            f"The parameters {', '.join(left)} match no pattern of strategy.patterns: widen one, or add a group "
            "without a pattern, which takes what is left."
        )
    members = {name: tuple(one for one, names in claims.items() if (names or [rest]) == [name]) for name in groups}
    empty = next((name for name, own in members.items() if not own), None)
    if empty is not None:
        raise ConfigError(
            f"The group {empty} has no parameter"
            + (f" that matches {patterns[empty]!r}" if patterns.get(empty) else ", since the others take all")
            + f": the model has {', '.join(claims)}."
        )
    return members
