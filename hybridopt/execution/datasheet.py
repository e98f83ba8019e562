"""What a run's data is, in MLflow's words for data sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor

from hybridopt.composition import registry
from hybridopt.core.data import TensorDataModule

CONTEXTS = {"train": "training", "val": "validation", "test": "testing"}  # ours -> MLflow's


def datasheet(datamodule: LightningDataModule, config: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """The data sets of a run: for each MLflow's context, and name, digest, source, schema and profile.

    Data in memory is described split by split, with a digest of its bytes. Of any other data the digest is that of its
    settings, and one description stands for all splits.

    Args:
        datamodule: set up, with a ``spec``.
        config: the settings of the data set.
    """
    spec = datamodule.spec
    sheet = {
        "name": registry.name_of(config),
        "source_type": "hybridopt",
        "source": json.dumps({"plugin": next(iter(registry.provenances("dataset", config).values())), **config}),
        "schema": json.dumps({"inputs": list(spec.input_shape), "outputs": spec.output_size, "task": spec.task}),
    }
    if not isinstance(datamodule, TensorDataModule):
        settings = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
        yield CONTEXTS["train"], sheet | {"digest": settings, "profile": "{}"}
        return
    for split, context in CONTEXTS.items():
        inputs, targets = datamodule.sets[split]
        yield context, sheet | {"digest": digest(inputs, targets), "profile": json.dumps({"samples": len(inputs)})}


def digest(*tensors: Tensor) -> str:
    """Eight hexadecimal digits that tell data apart: of shapes, types and bytes."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(f"{tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:8]
