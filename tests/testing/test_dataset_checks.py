"""Each check of data sets, by a data set that fails that one alone."""

from __future__ import annotations

import re
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from hybridopt import DataModule, DataSpec, TensorDataModule
from hybridopt.core.stream import TensorStream
from hybridopt.testing import checks, run_checks

SPEC = DataSpec((3,), 2, "classification")
SIZES = (60, 20, 20)


def drawn(seed: int = 0, count: int = sum(SIZES)) -> tuple[Tensor, Tensor]:
    """Points (N, 3) that are not standardised, and classes (N,), of which they tell."""
    classes = torch.arange(count) % 2
    inputs = 2 + 3 * torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)) + 6 * classes[:, None]
    return inputs, classes


def cut(inputs: Tensor, targets: Tensor, spec: DataSpec = SPEC, batch_size: int | None = 16) -> TensorDataModule:
    sets = zip(inputs.split(SIZES), targets.split(SIZES), strict=True)
    return TensorDataModule(*sets, spec, batch_size)


def sound(batch_size: int | None = 16, split_seed: int = 0) -> TensorDataModule:
    """Two classes in space."""
    return cut(*drawn(split_seed), batch_size=batch_size)


def scaled_by_train() -> TensorDataModule:
    """Standardised by the training set."""
    inputs, targets = drawn()
    train = inputs[: SIZES[0]]
    return cut((inputs - train.mean(0)) / train.std(0), targets)


def with_twins() -> TensorDataModule:
    """Points on a coarse grid, of which many are the same by nature."""
    inputs, targets = drawn()
    return cut((inputs / 8).round(), targets)


def of_trees() -> TensorDataModule:
    """Points in space, of which some coordinates count."""
    inputs, targets = drawn()
    parts = [
        ({"point": rows, "which": rows > 0}, labels)
        for rows, labels in zip(inputs.split(SIZES), targets.split(SIZES), strict=True)
    ]
    return TensorDataModule(*parts, DataSpec({"point": (3,), "which": (3,)}, 2, "classification"), 16)


class Loaders(DataModule):
    """Ordinary loaders, as a Lightning user writes them."""

    def __init__(self, shuffle: bool = True):
        super().__init__()
        self.shuffle = shuffle

    def setup(self, stage: str) -> None:
        self.spec = SPEC
        self.parts = [TensorDataset(*pair) for pair in zip(*(part.split(SIZES) for part in drawn()), strict=True)]

    def train_dataloader(self) -> DataLoader:
        return DataLoader(self.parts[0], batch_size=16, shuffle=self.shuffle)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.parts[1], batch_size=16)

    def test_dataloader(self) -> DataLoader:
        return DataLoader(self.parts[2], batch_size=16)


def loaders() -> Loaders:
    """Two classes in space, by ordinary loaders."""
    return Loaders()


def half_done(labels: Literal["numbers", "names"] = "numbers") -> TensorDataModule:
    """One of whose options is not there."""
    if labels == "names":
        raise NotImplementedError("names are for next week")
    return sound()


def pathless(path: str) -> TensorDataModule:
    """Which needs a file, and shows none."""
    return sound()


def misshapen() -> TensorDataModule:
    """Whose spec tells of other inputs."""
    return cut(*drawn(), DataSpec((4,), 2, "classification"))


def three_classes() -> TensorDataModule:
    """Whose spec tells of a class that there is not."""
    return cut(*drawn(), DataSpec((3,), 3, "classification"))


def flat_values() -> TensorDataModule:
    """Whose regression targets have no column."""
    inputs, targets = drawn()
    return cut(inputs, targets.float(), DataSpec((3,), 1, "regression"))


def holes() -> TensorDataModule:
    """Which holds a value that is missing."""
    inputs, targets = drawn()
    inputs[7, 1] = torch.nan
    return cut(inputs, targets)


def leaking() -> TensorDataModule:
    """Whose training set holds the test set."""
    data = sound()
    data.sets["train"] = tuple(torch.cat(pair) for pair in zip(data.sets["train"], data.sets["test"], strict=True))
    return data


def restless() -> TensorDataModule:
    """Which is split by numpy's global generator."""
    inputs, targets = drawn()
    order = torch.from_numpy(np.random.permutation(len(inputs)))
    return cut(inputs[order], targets[order])


def growing() -> TensorDataModule:
    """Whose training set alone is drawn each time."""
    data = sound()
    order = torch.randperm(SIZES[0])[:40]
    data.sets["train"] = tuple(part[order] for part in data.sets["train"])
    return data


def unpaired() -> TensorDataModule:
    """Whose training targets are those of other rows."""
    data = sound()
    inputs, targets = data.sets["train"]
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(1))
    data.sets["train"] = inputs, targets[order]
    return data


def standardised_at_once() -> TensorDataModule:
    """Standardised before it was split."""
    inputs, targets = drawn()
    return cut((inputs - inputs.mean(0)) / inputs.std(0), targets)


def ranged_at_once() -> TensorDataModule:
    """Brought to a range before it was split."""
    inputs, targets = drawn(seed=5)
    low, high = inputs.min(0).values, inputs.max(0).values
    return cut((inputs - low) / (high - low), targets)


class SeedlessData(TensorDataModule):
    """Takes the same order whatever the seed."""

    def train_dataloader(self) -> TensorStream:
        return TensorStream(*self.sets["train"], self.batch_size, seed=0)


class GlobalStream(TensorStream):
    """Shuffles by torch's global generator."""

    def batches(self, epoch: int) -> Any:
        self.seed = int(torch.randint(1000, ()))
        return super().batches(epoch)


class GlobalData(TensorDataModule):
    """Shuffles by torch's global generator."""

    def train_dataloader(self) -> TensorStream:
        return GlobalStream(*self.sets["train"], self.batch_size, self.batch_seed)


class AmnesicStream(TensorStream):
    """Begins again wherever it was."""

    def load_state_dict(self, state: dict[str, int]) -> None:
        pass


class AmnesicData(TensorDataModule):
    """Whose stream begins again wherever it was."""

    def train_dataloader(self) -> TensorStream:
        return AmnesicStream(*self.sets["train"], self.batch_size, self.batch_seed)


def seedless() -> TensorDataModule:
    """Whose order no seed changes."""
    return SeedlessData(*sound().sets.values(), SPEC, 16)


def shuffled_globally() -> TensorDataModule:
    """Whose order anybody changes."""
    return GlobalData(*sound().sets.values(), SPEC, 16)


def amnesic() -> TensorDataModule:
    """Which a resumed run reads from the start."""
    return AmnesicData(*sound().sets.values(), SPEC, 16)


BROKEN = [
    (half_done, "builds_from_every_option", r"with labels=names it raises .*names are for next week"),
    (misshapen, "spec_is_true", r"spec\.input_shape is \(4,\), but the train set's inputs have the shape \(3,\)"),
    (three_classes, "spec_is_true", r"spec\.output_size is 3, but the classes that occur are \[0, 1\] to 1, 2 in all"),
    (
        flat_values,
        "spec_is_true",
        r"regression targets must be floats \(B, 1\), but are torch\.float32 of shape \(B,\)",
    ),
    (holes, "spec_is_true", r"its train set has inputs that are not finite"),
    (leaking, "splits_disjoint", r"20 of 20 test rows are in the train set too, where chance would explain 0"),
    (restless, "splits_reproducible", r"built a second time, its val\[0\] rows are others"),
    (growing, "splits_reproducible", r"built a second time, its train\[\d+\] rows are others"),
    (standardised_at_once, "scaling_knows_the_training_set_only", r"are standardised by train and val and test rows"),
    (ranged_at_once, "scaling_knows_the_training_set_only", r"are brought to a range by train and val and test rows"),
    (unpaired, "inputs_tell_of_targets", r"know its held-out targets no better than chance does"),
    (seedless, "batches_reproducible_by_seed", r"another seed gives the same batches"),
    (shuffled_globally, "batches_reproducible_by_seed", r"the same seed gives other batches"),
    (amnesic, "batches_reproducible_by_seed", r"does not read on where it was"),
]


@pytest.mark.parametrize(("dataset", "fails", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_data_set_fails_its_check_alone(dataset, fails, says):
    failed = {outcome.check: outcome.sentence for outcome in run_checks(dataset) if outcome.status == "failed"}
    assert failed.keys() == {fails}, failed
    assert re.search(says, failed[fails]), failed


@pytest.mark.parametrize(
    "dataset", [sound, scaled_by_train, with_twins, of_trees, loaders], ids=lambda dataset: dataset.__name__
)
def test_a_sound_data_set_passes(dataset):
    assert [outcome for outcome in run_checks(dataset) if outcome.status != "passed"] == []


def test_a_data_set_that_shows_no_example_is_told_to():
    failed = {outcome.sentence for outcome in run_checks(pathless) if outcome.status == "failed"}
    assert all(
        re.search(r"has no default for 'path'.* conformance = \{'settings': \[\{'path': \.\.\.\}\]\}", sentence)
        for sentence in failed
    )
    assert failed


def test_each_check_is_failed_by_somebody():
    general = {"can_be_imported", "has_a_summary", "config_survives_yaml", "search_space_is_of_its_settings"}
    assert {check.name for check in checks(sound)} - general == {fails for _, fails, _ in BROKEN}
