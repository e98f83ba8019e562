"""What a run's data is, in MLflow's words for data sets, and what who uses its network has to know of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import LightningDataModule

from hybridopt.composition import building
from hybridopt.core.data import DataModule
from hybridopt.core.spec import DataSpec
from hybridopt.errors import DataError, brief
from hybridopt.execution.directory import PREPROCESSING

CONTEXTS = {"train": "training", "val": "validation", "test": "testing"}  # ours -> MLflow's
Facts = Mapping[str, str | int]


@dataclass(frozen=True)
class Datasheet:
    """The data sets of a run.

    Args:
        identified_by: what the digests are of: the data's contents, or its settings where nothing else is known.
        inputs: MLflow's contexts, and name, digest, source, schema and profile of the set that is used there.
        texts: what is kept beside the weights, by the names of files, see :func:`preprocessing`.
    """

    identified_by: Literal["contents", "settings"]
    inputs: list[tuple[str, dict[str, str]]]
    texts: Mapping[str, str] = field(default_factory=dict)


def datasheet(datamodule: LightningDataModule, config: Mapping[str, Any], spec: DataSpec) -> Datasheet:
    """Describe the data of a run.

    A data module that states facts of its contents is described set by set. Of any other the digest is that of its
    settings, and one description stands for all sets.

    Args:
        datamodule: set up.
        config: the settings of the data set.
        spec: the shape of the data.

    Raises:
        DataError: what it says of preprocessing is more than plain values.
    """
    sheet = {
        "name": building.name_of(config),
        "source_type": "hybridopt",
        "source": json.dumps({"plugin": next(iter(building.provenances("dataset", config).values())), **config}),
        "schema": json.dumps({"inputs": spec.input_shape, "outputs": spec.output_size, "task": spec.task}),
    }
    facts = {name: datamodule.facts(name) for name in CONTEXTS} if isinstance(datamodule, DataModule) else {}
    prepared = preprocessing(datamodule)
    if not any(facts.values()):
        alone = [(CONTEXTS["train"], sheet | {"digest": _hash(config), "profile": "{}"})]
        return Datasheet("settings", alone, prepared)
    inputs = [(CONTEXTS[name], sheet | _identity(name, stated, config)) for name, stated in facts.items()]
    return Datasheet("contents", inputs, prepared)


def preprocessing(datamodule: LightningDataModule) -> dict[str, str]:
    """What a data module says of raw inputs and of the network's outputs, as JSON by the name of its file.

    Where it says nothing there is none.

    Raises:
        DataError: it is more than plain values.
    """
    said = datamodule.preprocessing() if isinstance(datamodule, DataModule) else {}
    try:
        text = json.dumps(said, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise DataError(
            f"What {type(datamodule).__name__}.preprocessing() returns is kept as JSON, which cannot hold it "
            f"({brief(error)}): return text, finite numbers, lists and dictionaries, such as array.tolist() gives."
        ) from error
    return {Path(PREPROCESSING).name: text} if said else {}


def _identity(name: str, facts: Facts, config: Mapping[str, Any]) -> dict[str, str]:
    """Digest and profile of a set: its own digest, or a hash of its facts and of the settings that made it of them."""
    profile = {fact: value for fact, value in facts.items() if fact != "digest"}
    return {"digest": str(facts.get("digest") or _hash([config, name, profile])), "profile": json.dumps(profile)}


def _hash(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
