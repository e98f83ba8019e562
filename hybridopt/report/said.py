"""What the tags of a run say.

In MLflow anybody may change a tag or take it away: each is read here, as what it should be, or as its default.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Annotated, Any

from pydantic import Field, Json, TypeAdapter, ValidationError

from hybridopt.tracking.reading import StoredRun

Word = Annotated[str, Field(min_length=1)]
Number = Annotated[float, Field(ge=0, allow_inf_nan=False)]

NEEDED: dict[str, Any] = {"strategy": Word, "dataset": Word, "seed": Word}  # every run has them
OPTIONAL: dict[str, tuple[Any, Any]] = {  # and what stands for those that are not there
    "directions": (Json[dict[str, bool | None]], {}),
    "phases": (Json[list[str]], []),
    "controls": (Json[dict[str, str]], {}),
    "tuning_trials": (Number, 0.0),
    "tuning_forwards": (Number, 0.0),
    "jobs": (Number, None),
}


def said(run: StoredRun, tag: str) -> Any:
    """The value of a tag, without ``hybridopt.``; the default where it is missing or odd."""
    text = run.tags.get(f"hybridopt.{tag}")
    try:
        return _default(run, tag) if text is None else _adapter(tag).validate_python(text)
    except ValidationError:
        return _default(run, tag)


def odd_tags(run: StoredRun) -> Iterator[str]:
    """The names of tags that are not what they should be."""
    for tag in (*NEEDED, *OPTIONAL):
        text = run.tags.get(f"hybridopt.{tag}")
        if text is None and tag in OPTIONAL:
            continue
        try:
            _adapter(tag).validate_python(text)
        except ValidationError:
            yield f"hybridopt.{tag}"


@cache
def _adapter(tag: str) -> TypeAdapter[Any]:
    return TypeAdapter(NEEDED[tag] if tag in NEEDED else OPTIONAL[tag][0])


def _default(run: StoredRun, tag: str) -> Any:
    """Of a seed the run's id: it pairs with no other run."""
    if tag == "seed":
        return run.run_id
    return f"unknown {tag}" if tag in NEEDED else OPTIONAL[tag][1]
