"""The rows of the three sets, and what is to be learned of them: what every data set made of such rows begins with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datasets import Features

from hybridopt import DataModule
from hybridopt.toolbox.tables import chosen_columns
from hybridopt_huggingface.columns import Rows, checked_kinds, chosen_inputs
from hybridopt_huggingface.inputs import Inputs
from hybridopt_huggingface.modules import FromDisk, InMemory
from hybridopt_huggingface.source import Source, open_source
from hybridopt_huggingface.splits import check_settings, chosen_splits, drawn
from hybridopt_huggingface.targets import Targets, targets_for


@dataclass(frozen=True)
class Selection:
    """Rows by set, not encoded yet.

    Args:
        source: where they come from.
        features: the types of all columns.
        inputs: the columns to learn from.
        kinds: what the user says of columns.
        sets: "train", "val" and "test".
        targets: not fitted yet.
    """

    source: Source
    features: Features
    inputs: Sequence[str]
    kinds: Mapping[str, str]
    sets: Mapping[str, Rows]
    targets: Targets

    def encoded(self, encoder: Inputs, in_memory: bool, batch_size: int | None) -> DataModule:
        """The data module of these rows; encoder and targets are fitted to those of training.

        Raises:
            DataError: the rows cannot be learned from.
            ConfigError: they do not fit into memory, or the batch size is out of range.
        """
        for learner in (encoder, self.targets):
            learner.fit(self.sets["train"])
        module = InMemory if in_memory else FromDisk
        return module(self.sets, encoder, self.targets, batch_size, self.source)


def selected(
    path: str,
    config: str | None = None,
    revision: str | None = None,
    files: str | Mapping[str, str] | None = None,
    inputs: str | Sequence[str] | None = None,
    target: str | Sequence[str] = "label",
    task: str = "auto",
    kinds: str | Mapping[str, str] | None = None,
    train_split: str = "train",
    val_split: str | None = None,
    test_split: str | None = None,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    limit: int | None = None,
    scaling: str = "auto",
) -> Selection:
    """The rows that settings name, which are those of :func:`~hybridopt_huggingface.huggingface.huggingface`.

    Raises:
        DataError: the data cannot be found, reached or read.
        ConfigError: a setting is out of range.
    """
    check_settings(val_fraction, test_fraction, split_seed, limit)
    source = open_source(path, config, revision, files)
    splits = chosen_splits(source, train_split, val_split, test_split)
    features = splits["train"].features
    target_names = chosen_columns(features, "target", target, path)
    input_names = chosen_inputs(features, inputs, target_names, path)
    said = checked_kinds(features, kinds, input_names, path)
    columns = [*input_names, *target_names]
    rows = {name: split and Rows.of(split, columns, name, path) for name, split in splits.items()}
    targets = targets_for(task, target_names, features, rows["train"], scaling)
    sets = drawn(rows, targets.strata, val_fraction, test_fraction, split_seed, limit)
    return Selection(source, features, input_names, said, sets, targets)
