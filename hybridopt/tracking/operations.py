"""What a line of a journal may say; a line that says anything else is set aside by whoever reads it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic wants this one on Python 3.11

Whole = Annotated[int, Field(ge=0, lt=2**63)]  # what a database takes


class Run(TypedDict):
    """Whose journal it is: the digest of the config beside it, empty where there is none. The first line."""

    kind: Literal["run"]
    config: str


class Metrics(TypedDict):
    """Values at a number of forwards; "nan" and "inf" are numbers, too."""

    kind: Literal["metrics"]
    step: Whole
    time: Whole
    values: dict[str, float]


class Texts(TypedDict):
    """Parameters, or tags."""

    kind: Literal["params", "tags"]
    values: dict[str, str]


class Input(TypedDict):
    """A data set that the run uses."""

    kind: Literal["input"]
    dataset: dict[str, str]
    context: str


class Artifact(TypedDict):
    """A file or folder to be uploaded."""

    kind: Literal["artifact"]
    path: str
    folder: str


class Model(TypedDict):
    """An MLflow model folder to be uploaded as one of MLflow's logged models."""

    kind: Literal["model"]
    path: str


class Status(TypedDict):
    """A status of the run, by MLflow's words."""

    kind: Literal["status"]
    status: Literal["RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED"]
    time: Whole


Line = Run | Metrics | Texts | Input | Artifact | Model | Status
_adapter = TypeAdapter[Any](Annotated[Line, Field(discriminator="kind")])


def parse(line: bytes) -> dict[str, Any]:
    """A line of a journal as plain values.

    Raises:
        ValueError: it is none.
    """
    return _adapter.validate_json(line)
