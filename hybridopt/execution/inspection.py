"""A network is looked at before it is trained: one pass over one sample, and the shape of the data that it is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hybridopt.core.objective import Batch, Objective
from hybridopt.core.spec import DataSpec
from hybridopt.engine import trees
from hybridopt.engine.memory import out_of_memory
from hybridopt.engine.modes import evaluating
from hybridopt.errors import ConfigError, DataError, brief

UNTOLD = object()
TASKS = ("classification", "regression")
WANTED = "give the data module, or the Trial, a spec: DataSpec(input_shape, output_size, task)"


def inspect(model: nn.Module, objective: Objective, batch: Batch, spec: DataSpec | None, name: str) -> DataSpec:
    """Run a network on one sample, in evaluation mode, which gives lazy layers their shapes.

    A network that an objective runs in its own way (rollouts, say) is left alone.

    Args:
        model: the network; nothing else of it changes.
        objective: what makes a loss of its outputs.
        batch: of training.
        spec: of the data; None where it is to be inferred.
        name: of the network, for sentences.

    Returns:
        The spec, inferred from the sample where there is none.

    Raises:
        ConfigError: the network fails, its outputs are of the wrong type or shape, or nothing tells what the task is.
    """
    if not objective.of_one_pass:
        if spec is None or any(is_lazy(value) for value in model.parameters()):
            raise ConfigError(
                f"{type(objective).__name__} runs the network in a way of its own, so that one sample tells nothing: "
                f"{WANTED}, and give {name} layers whose sizes are known (nn.Linear, not nn.LazyLinear)."
            )
        return spec
    inputs, targets = trees.rows(batch, slice(0, 1))
    outputs = _outputs(model, inputs, name)
    if outputs is UNTOLD:
        if spec is None:
            raise ConfigError(
                f"{name} and the data differ in their types, so that no sample tells their shape: {WANTED}."
            )
        return spec
    _check_tensor(outputs, name, spec)
    spec = spec or inferred(batch, outputs)
    if spec is None:
        raise ConfigError(
            f"{name} gives {trees.form(outputs)} for targets that are {trees.form(targets)}, which does not tell what "
            f"the task is: let it give (B, classes) for classes, and the targets' shape for values; or {WANTED}."
        )
    _check_shape(outputs, targets, spec, name)
    return spec


def declared(datamodule: Any, batch: Batch | None) -> DataSpec | None:
    """What a data module says of its shape, or what a batch does; None where the number of classes is unknown.

    Args:
        datamodule: with a ``spec``, or, for classes, ``num_classes``; or neither.
        batch: of training, if there is one.
    """
    spec = getattr(datamodule, "spec", None)
    if spec is not None or batch is None:
        return spec
    inputs, targets = batch
    classes = getattr(datamodule, "num_classes", None)
    if targets.is_floating_point() and targets.ndim == 2:
        return DataSpec(trees.sample_shapes(inputs), targets.shape[1], "regression")
    if not targets.is_floating_point() and isinstance(classes, int):
        return DataSpec(trees.sample_shapes(inputs), classes, "classification")
    return None


def inferred(batch: Batch, outputs: Tensor) -> DataSpec | None:
    """The shape of the data, from a batch and the outputs (B, C, ...) for it; None where they tell too little."""
    inputs, targets = batch
    if targets.is_floating_point():
        return DataSpec(trees.sample_shapes(inputs), outputs.shape[-1], "regression")
    if outputs.ndim == targets.ndim + 1 and outputs.shape[1] > 1:
        return DataSpec(trees.sample_shapes(inputs), outputs.shape[1], "classification")
    return None


def _outputs(model: nn.Module, inputs: Any, name: str) -> Any:
    """What the network makes of a sample, or :data:`UNTOLD` where it and the data differ in their types.

    ``trainer.precision`` may convert either of them later.
    """
    inputs = trees.mapped(lambda part: part.to(next(model.parameters()).device), inputs)
    lazy = any(is_lazy(value) for value in model.parameters())
    try:
        with in_evaluation_mode(model) if lazy else evaluating(model), torch.no_grad():
            return model(inputs)
    except Exception as error:
        if out_of_memory(error):
            raise
        if "dtype" in str(error) and all(part.is_floating_point() for part in trees.leaves(inputs)):
            return UNTOLD
        raise DataError(
            f"{name} fails on a sample of the data, {trees.form(inputs)} with B = 1: {brief(error)}."
        ) from error


@contextmanager
def in_evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; all else that the network changes of itself, such as the shapes of layers, stays."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


def _check_tensor(outputs: Any, name: str, spec: DataSpec | None) -> None:
    shape = f"(B, {spec.output_size})" if spec is not None else "(B, outputs)"
    if not isinstance(outputs, Tensor):
        raise ConfigError(
            f"{name} gives {trees.form(outputs)}, and not one tensor {shape}: let its forward return that alone, or "
            "wrap it in a module whose forward does."
        )
    if outputs.ndim == 0 or len(outputs) != 1:
        raise ConfigError(
            f"{name} gives outputs of the shape {tuple(outputs.shape)} for one sample, and not (1, ...): let it keep "
            "the first dimension, which is that of the samples."
        )


def _check_shape(outputs: Tensor, targets: Tensor, spec: DataSpec, name: str) -> None:
    """Refuse outputs that do not fit the targets: many losses would broadcast them, and mean something else."""
    if spec.task not in TASKS:
        return
    classes = not targets.is_floating_point()
    expected = (1, spec.output_size, *targets.shape[1:]) if classes else tuple(targets.shape)
    if tuple(outputs.shape) == expected:
        return
    if tuple(targets.shape[1:]) == () and not classes and outputs.ndim == 2:
        raise DataError(
            f"The targets have the shape (B,) and the outputs of {name} (B, {outputs.shape[1]}): let the data set give "
            "targets (B, outputs), such as targets[:, None]."
        )
    wanted = ", ".join(map(str, ("B", *expected[1:])))
    raise ConfigError(
        f"{name} gives {trees.form(outputs)} and not ({wanted}), as the targets of this {spec.task} ask for: change "
        "its last layer, or its forward (a squeeze, say)."
    )
