"""What is asked of a data set."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import combinations, islice
from math import sqrt
from typing import Any

import torch
from torch import Tensor

from hybridopt.composition import building
from hybridopt.composition.registry import Plugin
from hybridopt.core.objective import Batch
from hybridopt.core.spec import DataSpec
from hybridopt.engine import trees
from hybridopt.engine.trees import Inputs
from hybridopt.execution.datasheet import preprocessing
from hybridopt.testing.kit import check, during, fail_if, finite
from hybridopt.testing.neighbours import MOST, NEIGHBOURS, by_neighbours, score
from hybridopt.testing.plugins import Settings, defaults, variants
from hybridopt.testing.problems import few, ready, stream
from hybridopt.testing.runs import difference, global_seeds

SETS = ("train", "val", "test")
SAME_BY_CHANCE = 0.02  # of a held-out set: rows that nature made twice, as one flower of iris
EXACT = 1e-4  # how near to 0 and 1 a mean and a deviation are that were made so
ASKED = 1000  # held-out rows at most whose targets are guessed
PAIRINGS = 100  # random ones, to which the true one is compared
DISTINCT = 10  # values that a feature takes at least which tells anything of its scaling


def build(plugin: Plugin, settings: Settings | None = None) -> Any:
    """The data module, after its own preparations."""
    data = ready(building.make(plugin, defaults(plugin) if settings is None else settings))
    data.setup("test")
    return data


@cache
def usual(plugin: Plugin) -> Any:
    """With its defaults, built once; only read."""
    return build(plugin)


@cache
def rows(plugin: Plugin) -> dict[str, Batch]:
    """The rows of each set."""
    return {name: rows_of(usual(plugin), name) for name in SETS}


def rows_of(data: Any, name: str, seed: int = 0) -> Batch:
    """Inputs and targets of a set, from the first 20 000 rows or so; of the training set, one epoch's."""
    if name == "train" and hasattr(data, "sets"):
        return data.sets[name]  # an epoch would leave out what does not fill a batch
    batches: Iterable[Batch] = (
        stream(data, seed).batches(0) if name == "train" else getattr(data, f"{name}_dataloader")()
    )
    taken, size = [], 0
    for inputs, targets in batches:
        taken.append((inputs, targets))
        size += len(targets)
        if size >= MOST:
            break
    fail_if(not taken, f"its {name} set yields no batch.")
    inputs, targets = trees.joined(taken)
    return inputs, targets


@check("dataset")
def builds_from_every_option(plugin: Plugin) -> None:
    """With its defaults and every option it has a spec, says of preprocessing what can be kept, and yields training
    batches of inputs and targets."""
    for what, settings in variants(plugin).items():
        with during(f"with {what}"):
            data = build(plugin, settings)
            fail_if(not isinstance(getattr(data, "spec", None), DataSpec), "it has no spec, which is a DataSpec.")
            preprocessing(data)
            inputs, targets = next(iter(stream(data, 0)))
        for part in trees.leaves(inputs):
            fail_if(
                len(part) != len(targets), f"with {what} a batch has {len(part)} inputs and {len(targets)} targets."
            )


@check("dataset")
def spec_is_true(plugin: Plugin) -> None:
    """Inputs have the spec's shape; classes are whole numbers below ``output_size``, all of which occur; values are
    (B, output_size). Nothing is NaN or infinite."""
    spec, sets = usual(plugin).spec, rows(plugin)
    for name, (inputs, targets) in sets.items():
        shape, promised = trees.sample_shapes(inputs), spec.input_shape
        fail_if(
            shape != promised, f"spec.input_shape is {promised}, but the {name} set's inputs have the shape {shape}."
        )
        for values in trees.leaves(inputs):
            finite(values, f"its {name} set has inputs")
        finite(targets, f"its {name} set has targets")
        if spec.task == "regression":
            fail_if(
                tuple(targets.shape[1:]) != (spec.output_size,) or not targets.is_floating_point(),
                f"regression targets must be floats (B, {spec.output_size}), but are {targets.dtype} of shape "
                f"{shape_of(targets)} in the {name} set.",
            )
    if spec.task == "classification":
        _check_classes(spec, [targets for _, targets in sets.values()])


def _check_classes(spec: DataSpec, targets: list[Tensor]) -> None:
    for part in targets:
        fail_if(
            part.dtype != torch.int64 or part.ndim != 1,
            f"classes must be int64 (B,), but are {part.dtype} of shape {shape_of(part)}.",
        )
    found = torch.cat(targets).unique().tolist()
    fail_if(
        found != list(range(spec.output_size)) and not (_partly_read(targets) and max(found) < spec.output_size),
        f"spec.output_size is {spec.output_size}, but the classes that occur are {found[:5]} to {found[-1]}, "
        f"{len(found)} in all.",
    )


def shape_of(rows: Tensor) -> str:
    """The shape of rows, whose number is of no matter."""
    return f"({', '.join(['B', *map(str, rows.shape[1:])])}{',' if rows.ndim == 1 else ''})"


def _partly_read(targets: list[Tensor]) -> bool:
    return any(len(part) >= MOST for part in targets)


# -- splits -----------------------------------------------------------------------------------------------------------


@check("dataset")
def splits_disjoint(plugin: Plugin) -> None:
    """No set holds rows of another one, beyond what chance explains.

    Natural data hold equal rows, so that a few are allowed: two in a hundred, and as many as the training set holds of
    its own twice, with three standard deviations. Data that are one instance, for training and test alike, say so in
    ``expected_failures``.
    """
    keys = {name: fingerprints(inputs) for name, (inputs, _) in rows(plugin).items()}
    twice = len(keys["train"]) - len(set(keys["train"]))
    share = min(1.0, 2 * twice / len(keys["train"]))
    for one, other in combinations(SETS, 2):
        count, known = len(keys[other]), set(keys[one])
        shared = sum(key in known for key in keys[other])
        allowed = count * share + 3 * sqrt(count * share * (1 - share)) + SAME_BY_CHANCE * count
        fail_if(
            shared > max(allowed, 1 if count >= 20 else 0),
            f"{shared} of {count} {other} rows are in the {one} set too, where chance would explain {allowed:.0f}.",
        )


def fingerprints(inputs: Inputs) -> list[bytes]:
    """One for each row, equal for equal rows."""
    return [row.tobytes() for row in trees.flat(inputs).cpu().numpy()]


@check("dataset")
def splits_reproducible(plugin: Plugin) -> None:
    """Built twice, the sets are the same, to the last bit: the global generators and ``batch_seed`` have no say."""
    built = []
    for seed in (1, 2):
        with global_seeds(seed):
            data = build(plugin)
            data.batch_seed = seed
            built.append({name: list(rows_of(data, name)) for name in ("val", "test")})
            built[-1]["train"] = sorted(fingerprints(rows_of(data, "train")[0])) if hasattr(data, "sets") else []
    place = difference(*built)
    fail_if(place, f"built a second time, its {place} rows are others: fix splits by a seed among its settings.")


@check("dataset")
def scaling_knows_the_training_set_only(plugin: Plugin) -> None:
    """What inputs are scaled by comes from the training set alone.

    It shows where it was done otherwise: features that have mean 0 and deviation 1, or minimum 0 (or -1) and maximum
    1, exactly, over several sets together, but not over the training set. Other leaks, such as a selection of features
    by all rows, show in no data set, and are not looked for.
    """
    parts = {name: trees.leaves(inputs) for name, (inputs, _) in rows(plugin).items()}
    for one in range(len(parts["train"])):
        inputs = {name: found[one].double() for name, found in parts.items() if found[one].ndim > 1}
        for others in (("val", "test"), ("val",), ("test",)) if inputs else ():
            _check_scaling(inputs["train"], [inputs[name] for name in others], " and ".join(others))


def _check_scaling(train: Tensor, held_out: list[Tensor], names: str) -> None:
    union = torch.cat([train, *held_out])
    for what, scaled in {"standardised": standardised, "brought to a range": ranged}.items():
        for view in (by_feature, by_channel):
            fail_if(
                scaled(view(union)) and not scaled(view(train)),
                f"its inputs are {what} by train and {names} rows together: what is held out has leaked into "
                "training; fit the scaling on the training set.",
            )


def by_feature(inputs: Tensor) -> Tensor:
    """(N, ...) as (N, features)."""
    return inputs.flatten(1)


def by_channel(inputs: Tensor) -> Tensor:
    """(N, C, H, W) as (N·H·W, C), other (N, ..., F) as (N·..., F)."""
    moved = inputs.movedim(1, -1) if inputs.ndim == 4 else inputs
    return moved.reshape(-1, moved.shape[-1])


def standardised(values: Tensor) -> bool:
    """Whether all features of (N, F) that vary have mean 0 and deviation 1, of population or sample, exactly."""
    values = telling(values)
    if values.numel() == 0:
        return False
    deviations = [values.std(0, unbiased=unbiased) for unbiased in (False, True)]
    return bool(values.mean(0).abs().max() < EXACT) and any((std - 1).abs().max() < EXACT for std in deviations)


def ranged(values: Tensor) -> bool:
    """Whether all features of (N, F) that vary go from 0 or -1 to 1, exactly."""
    values = telling(values)
    if values.numel() == 0:
        return False
    low, high = values.min(0).values, values.max(0).values
    return bool((high - 1).abs().max() < EXACT) and any((low - least).abs().max() < EXACT for least in (0, -1))


def telling(values: Tensor) -> Tensor:
    """The features (N, F) that take many values: switches go from 0 to 1 by nature."""
    many = [column.unique().numel() > DISTINCT for column in values.T]
    return values[:, torch.tensor(many)] if len(values) > 1 else values[:0]


# -- pairs ------------------------------------------------------------------------------------------------------------


@check("dataset")
def inputs_tell_of_targets(plugin: Plugin) -> None:
    """Neighbours in the training set say more of held-out targets than of the same targets in random order.

    Where they do not, inputs and targets were shuffled apart. What tells nothing passes with probability 2 %. Only
    classes and values are asked for; data of which neighbours know nothing say so in ``expected_failures``.
    """
    task, sets = usual(plugin).spec.task, rows(plugin)
    if task not in ("classification", "regression"):
        return
    held_out = trees.rows(trees.joined([sets["val"], sets["test"]]), slice(ASKED))
    guesses = by_neighbours(sets["train"], held_out[0], task)
    generator, answers = torch.Generator().manual_seed(0), held_out[1]
    orders = [torch.randperm(len(answers), generator=generator) for _ in range(PAIRINGS)]
    chance = torch.tensor([score(guesses, answers[order], task) for order in orders])
    found, bound = score(guesses, answers, task), float(chance.mean() + 2 * chance.std())
    fail_if(
        not found > bound,
        f"{NEIGHBOURS} neighbours in the training set know its held-out targets no better than chance does: are the "
        "rows of inputs and targets in the same order?",
    )


# -- batches ----------------------------------------------------------------------------------------------------------


@check("dataset")
def batches_reproducible_by_seed(plugin: Plugin) -> None:
    """The same seed gives the same batches, whatever the global generators; another seed another order; and a stream
    that is loaded from a checkpoint reads on where it was."""
    taken = []
    for seed in (1, 2):
        with global_seeds(seed):
            taken.append(few(iter(stream(usual(plugin), 7)), 3))
    fail_if(difference(*_listed(*taken)), "the same seed gives other batches when the global generators differ.")
    other = few(iter(stream(usual(plugin), 8)), 3)
    fail_if(
        not _full(plugin) and not difference(*_listed(taken[0], other)),
        "another seed gives the same batches: shuffle by batch_seed, or leave shuffling to the stream.",
    )
    source, resumed = stream(usual(plugin), 7), stream(usual(plugin), 7)
    few(iter(source), 2)
    resumed.load_state_dict(source.state_dict())
    fail_if(
        difference(*_listed(few(iter(resumed), 1), taken[0][2:])),
        "a stream that is loaded from a checkpoint does not read on where it was.",
    )


def _full(plugin: Plugin) -> bool:
    """Whether an epoch is a single batch, or all its rows are the same, so that there is no order."""
    batches = list(islice(stream(usual(plugin), 7).batches(0), 2))
    return len(batches) < 2 or len(set(fingerprints(trees.joined([inputs for inputs, _ in batches])))) == 1


def _listed(one: list[Batch], other: list[Batch]) -> tuple[list[list[Tensor]], list[list[Tensor]]]:
    return [list(batch) for batch in one], [list(batch) for batch in other]
