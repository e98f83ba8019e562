"""Networks whose inputs are several tensors, with data for them: sequences that are padded."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hybridopt import DataSpec, TensorDataModule
from hybridopt.core.objective import Batch

LENGTH, TOKENS, CLASSES = 6, 9, 3
SPEC = DataSpec({"ids": (LENGTH,), "lengths": ()}, CLASSES, "classification")


class LengthGRU(nn.Module):
    """Reads each sequence as far as it goes."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.gru, self.head = nn.Embedding(TOKENS, 4), nn.GRU(4, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        states, _ = self.gru(self.table(inputs["ids"]))
        last = (inputs["lengths"] - 1)[:, None, None].expand(-1, 1, states.shape[2])
        return self.head(states.gather(1, last)[:, 0])


class MaskedTransformer(nn.Module):
    """Attends to what is no padding; its inputs are a tuple of tokens and mask."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(TOKENS, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        ids, mask = inputs
        states = self.layer(self.table(ids), src_key_padding_mask=~mask)
        return self.head((states * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True))


def sequences(samples: int, seed: int = 0) -> Batch:
    """Tokens with lengths, and the class of the last token that counts."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(TOKENS, (samples, LENGTH), generator=generator)
    lengths = torch.randint(1, LENGTH + 1, (samples,), generator=generator)
    return {"ids": ids, "lengths": lengths}, ids[torch.arange(samples), lengths - 1] // 3


def with_mask(batch: Batch) -> Batch:
    """The same as a tuple of tokens and mask."""
    inputs, targets = batch
    return (inputs["ids"], torch.arange(LENGTH) < inputs["lengths"][:, None]), targets


def rows(batch: Batch) -> list[tuple[dict[str, Tensor], Tensor]]:
    """The samples of a batch one by one, as a data set gives them to a loader."""
    inputs, targets = batch
    return [({name: part[i] for name, part in inputs.items()}, target) for i, target in enumerate(targets)]


def data(batch_size: int = 10) -> TensorDataModule:
    """Three sets of such sequences."""
    return TensorDataModule(sequences(60), sequences(30, 1), sequences(30, 2), SPEC, batch_size)
