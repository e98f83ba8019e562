"""What the networks of this package have in common: a dictionary of tokens in, (B, classes) out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel

from hybridopt import ConfigError, DataSpec
from hybridopt_transformers.checkpoints import quiet, tokeniser_of
from hybridopt_transformers.lora import merged


class TextNetwork(nn.Module):
    """A network of transformers.

    Args:
        network: its weights are named ``network.<their names in the library>``.
        tokeniser: where its tokeniser is, if it has one: a folder or a name on the hub.
        revision: of that name.
    """

    def __init__(self, network: PreTrainedModel, tokeniser: str, revision: str | None):
        super().__init__()
        self.network = network
        self._tokeniser, self._revision = tokeniser, revision
        self._takes = frozenset(inspect.signature(network.forward).parameters)

    def save(self, folder: str | Path) -> None:
        """Write network and tokeniser as ``save_pretrained`` of the library does, with adapters merged.

        Args:
            folder: which ``model.checkpoint``, ``dataset.tokeniser`` and the library itself read.
        """
        with quiet():
            merged(self.network).save_pretrained(folder)
        try:
            tokeniser_of(self._tokeniser, self._revision).save_pretrained(folder)
        except ConfigError:
            return  # the tokeniser is somewhere else

    def _outputs(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """The network's logits for some inputs, of which it is given those that it reads."""
        given = {**inputs, "use_cache": False}  # of keys and values, for texts that are written word by word
        try:
            return self.network(**{name: value for name, value in given.items() if name in self._takes}).logits
        except IndexError as error:
            raise ConfigError(
                f"The checkpoint knows {self.network.config.vocab_size} tokens, and the data have others: take its own "
                "tokeniser in dataset.tokeniser."
            ) from error


def turned(inputs: Mapping[str, Tensor], to_end: bool) -> dict[str, Tensor]:
    """Texts, each (B, L), moved along so that all of them begin in the first place, or end in the last."""
    there = inputs["attention_mask"].bool()
    length = there.shape[1]
    places = torch.arange(length, device=there.device)
    first = torch.where(there, places, length - 1).amin(1, keepdim=True)
    last = torch.where(there, places, 0).amax(1, keepdim=True)
    order = (places + (last + 1 if to_end else first)) % length
    return {name: value.gather(1, order) for name, value in inputs.items()}


def token_length(spec: DataSpec, model: str) -> int:
    """The tokens of a sample.

    Raises:
        ConfigError: the inputs are no tokens.
    """
    shapes = spec.input_shape
    if not isinstance(shapes, Mapping) or not {"input_ids", "attention_mask"} <= shapes.keys():
        raise ConfigError(
            f"model={model} reads tokens, input_ids and attention_mask, but the data set's inputs have the shape "
            f"{shapes}: take dataset=tokenised, or another model."
        )
    return shapes["input_ids"][0]


def check_length(config: PretrainedConfig, length: int, remedy: str) -> None:
    """Refuse texts that are longer than a network has positions.

    Raises:
        ConfigError: they are.
    """
    most: Any = getattr(config, "max_position_embeddings", None)
    if isinstance(most, int) and 0 < most < length:
        raise ConfigError(f"The checkpoint has {most} positions, but {length} tokens are to be read: {remedy}.")
