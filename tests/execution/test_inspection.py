"""A network is run on one sample before it is trained; what cannot work is said in one sentence."""

from __future__ import annotations

from collections import UserDict, namedtuple
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from trees_of_inputs import LengthGRU, sequences

from hybridopt import DataError, DataSpec
from hybridopt.core.objective import Batch
from hybridopt.errors import ConfigError, HybridoptError
from hybridopt.execution.feeding import as_batch
from hybridopt.execution.inspection import declared, inspect
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.mse import MeanSquaredError

CLASSES = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
VALUES = torch.randn(5, 4), torch.randn(5, 1)
THREE, ONE = DataSpec((4,), 3, "classification"), DataSpec((4,), 1, "regression")


class Answering(nn.Module):
    """A linear network, of whose outputs something is made."""

    def __init__(self, answer: Callable[[Tensor], object], outputs: int = 3):
        super().__init__()
        self.layer, self.answer = nn.Linear(4, outputs), answer

    def forward(self, inputs: Tensor) -> object:
        return self.answer(self.layer(inputs))


def look(model: nn.Module, batch: Batch, spec: DataSpec | None = None) -> DataSpec:
    objective = MeanSquaredError() if batch[1].is_floating_point() else CrossEntropy()
    return inspect(model, objective, batch, spec, "model=mine")


def test_lazy_layers_get_their_shapes_and_keep_their_mode() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.LazyBatchNorm1d(), nn.ReLU(), nn.LazyLinear(3))
    look(model, CLASSES, THREE)
    assert model[0].in_features == 4
    assert all(part.training for part in model.modules())
    assert not model[1].num_batches_tracked
    assert model(CLASSES[0]).shape == (5, 3)


def test_what_is_no_lazy_layer_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    look(model, CLASSES, THREE)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


Named = namedtuple("Named", ["logits", "features"])


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            lambda y: (y, y),
            "model=mine gives a tuple of a tensor (B, 3) and a tensor (B, 3), and not one tensor (B, 3)",
        ),
        (lambda y: Named(y, y), "model=mine gives a Named of"),
        (lambda y: {"logits": y}, "model=mine gives a dict of logits: a tensor (B, 3), and not one tensor"),
        (lambda y: None, "model=mine gives a NoneType"),
        (lambda y: y.mean(), "model=mine gives outputs of the shape () for one sample"),
        (lambda y: y[0], "model=mine gives outputs of the shape (3,) for one sample"),
        (lambda y: y[:, :2], "model=mine gives a tensor (B, 2) and not (B, 3)"),
        (lambda y: y[:, :, None], "model=mine gives a tensor (B, 3, 1) and not (B, 3)"),
        (lambda y: y @ torch.ones(9, 1), "model=mine fails on a sample of the data, a tensor (B, 4)"),
    ],
)
def test_outputs_of_the_wrong_kind(answer: Callable[[Tensor], object], words: str) -> None:
    with pytest.raises(HybridoptError) as caught:
        look(Answering(answer), CLASSES, THREE)
    assert words in str(caught.value)


def test_whole_numbers_for_a_network_of_fractions_are_told_and_other_precisions_left_to_the_trainer() -> None:
    with pytest.raises(DataError, match=r"model=mine fails on a sample of the data.*Long and Float"):
        look(nn.Linear(4, 3), (torch.ones(5, 4).long(), CLASSES[1]), THREE)
    assert look(nn.Linear(4, 3).double(), CLASSES, THREE) == THREE


def test_values_must_not_be_broadcast() -> None:
    with pytest.raises(ConfigError, match=r"a tensor \(B\) and not \(B, 1\)"):
        look(Answering(lambda y: y.squeeze(-1), 1), VALUES, ONE)
    with pytest.raises(DataError, match=r"targets have the shape \(B,\)"):
        look(Answering(lambda y: y, 1), (VALUES[0], VALUES[1][:, 0]), ONE)


def test_maps_have_a_class_for_each_place() -> None:
    image = torch.randn(2, 3, 8, 8), torch.randint(5, (2, 8, 8))
    assert look(nn.Conv2d(3, 5, 3, padding=1), image, DataSpec((3, 8, 8), 5, "classification")).output_size == 5
    with pytest.raises(ConfigError, match=r"not \(B, 5, 8, 8\)"):
        look(nn.Conv2d(3, 5, 3), image, DataSpec((3, 8, 8), 5, "classification"))


def test_a_task_of_ones_own_is_left_to_it() -> None:
    assert look(Answering(lambda y: y[:, :2]), CLASSES, DataSpec((4,), 3, "ranking")).task == "ranking"


@pytest.mark.parametrize(
    ("model", "batch", "expected"),
    [
        (nn.Linear(4, 3), CLASSES, THREE),
        (nn.Linear(4, 1), VALUES, ONE),
        (LengthGRU(), sequences(5), DataSpec({"ids": (6,), "lengths": ()}, 3, "classification")),
    ],
)
def test_the_spec_is_inferred(model: nn.Module, batch: Batch, expected: DataSpec) -> None:
    assert look(model, batch) == expected


def test_what_cannot_be_inferred_is_asked_for() -> None:
    with pytest.raises(
        ConfigError,
        match=r"a tensor \(B, 1\) for targets that are a tensor \(B\).*give the data module, or the Trial, a spec",
    ):
        look(nn.Linear(4, 1), CLASSES)


def test_a_data_module_may_say_how_many_classes_there_are() -> None:
    class Mine:
        num_classes = 7

    assert declared(Mine(), CLASSES) == DataSpec((4,), 7, "classification")
    assert declared(object(), VALUES) == ONE
    assert declared(object(), CLASSES) is None


# -- batches ----------------------------------------------------------------------------------------------------------


def test_mappings_become_dictionaries() -> None:
    inputs, _ = as_batch(
        [UserDict({"ids": torch.ones(2, 3), "more": UserDict({"mask": torch.ones(2)})}), torch.ones(2)]
    )
    assert type(inputs) is dict
    assert type(inputs["more"]) is dict


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        (torch.ones(2), "is a tensor (B)"),
        ((torch.ones(2), torch.ones(2), torch.ones(2)), "is a tuple of a tensor (B), a tensor (B) and a tensor (B)"),
        ({"x": torch.ones(2), "y": torch.ones(2)}, "is a dict of x: a tensor (B) and y: a tensor (B)"),
        (({"x": ["a", "b"]}, torch.ones(2)), "is a tuple of a dict of x: a list of a str and a str and a tensor (B)"),
        (({}, torch.ones(2)), "is a tuple of a dict of nothing and a tensor (B)"),
        (({"x": torch.ones(2, 3), "mask": torch.ones(3, 3)}, torch.ones(2)), "a sample a row, 2 as the targets"),
        (({"x": torch.ones(2, 3), "t": torch.ones(())}, torch.ones(2)), "a sample a row, 2 as the targets"),
    ],
)
def test_batches_that_are_no_pair(batch: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        as_batch(batch)
    assert words in str(caught.value)
