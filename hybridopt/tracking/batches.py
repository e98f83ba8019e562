"""What of a journal fits into one call to MLflow, within its limits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence

from hybridopt.tracking.lines import UNREADABLE, Operation
from hybridopt.tracking.tables import Point

METRICS_PER_CALL = 1000  # MLflow's limits, here and below
VALUES_PER_CALL = 100
KEY_LENGTH = 250
PARAM_LENGTH = 6000
TAG_LENGTH = 8000
ALONE = ("artifact", "model", "input", "status", UNREADABLE)


def groups(operations: Iterable[Operation]) -> Iterator[list[Operation]]:
    """Neighbours that fit into one call; some kinds travel alone, so that the order is kept."""
    group: list[Operation] = []
    size = 0
    for operation in operations:
        alone = operation.kind in ALONE
        if group and (alone or size + len(operation.content["values"]) > METRICS_PER_CALL):
            yield group
            group, size = [], 0
        if alone:
            yield [operation]
        else:
            group.append(operation)
            size += len(operation.content["values"])
    if group:
        yield group


def points(operation: Operation) -> Iterator[Point]:
    """The finite points, and the NaN, of an operation."""
    if operation.kind != "metrics":
        return
    for name, value in operation.content["values"].items():
        if not math.isinf(float(value)):
            yield Point(_key(name), float(value), operation.content["time"], operation.content["step"])


def texts(group: Sequence[Operation], kind: str, length: int) -> dict[str, str]:
    """Params or tags of a group, cut to MLflow's limits; of a param's values the first counts, of a tag's the last."""
    merged: dict[str, str] = {}
    for operation in group:
        if operation.kind == kind:
            some = {_key(name): value[:length] for name, value in operation.content["values"].items()}
            merged = some | merged if kind == "params" else merged | some
    return merged


def _key(name: str) -> str:
    return re.sub(r"[^\w\-./: ]", "_", name)[:KEY_LENGTH]  # MLflow refuses other characters, such as @ and (


def slices(items: Sequence, length: int) -> Iterator[Sequence]:
    """Items in order, ``length`` of them at a time."""
    return (items[start : start + length] for start in range(0, len(items), length))
