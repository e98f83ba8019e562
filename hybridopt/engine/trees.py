"""What a network is given: a tensor, or a tree (dictionary, tuple, list) of tensors with a common first dimension."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map, tree_structure, tree_unflatten

Inputs = Any
"""Inputs (B, ...) of a network: a tensor, or a tree of tensors, each (B, ...). Whoever knows which may say so."""

Shapes = Any
"""The shape of a sample, without the batch dimension: a tuple of numbers, or a tree of such tuples."""


def leaves(inputs: Inputs) -> list[Any]:
    """The tensors of a tree, in a fixed order; whatever else is in it stays among them."""
    return [inputs] if isinstance(inputs, Tensor) else tree_leaves(inputs)


def mapped(function: Callable[[Tensor], Any], inputs: Any) -> Any:
    """The tree of what a function makes of each tensor."""
    return function(inputs) if isinstance(inputs, Tensor) else tree_map(function, inputs)


def samples(inputs: Inputs) -> int:
    """B, the length of the first dimension."""
    return inputs.shape[0] if isinstance(inputs, Tensor) and inputs.ndim else len(leaves(inputs)[0])


def rank(inputs: Inputs) -> int:
    """The dimensions of the first tensor, by which inputs of each member are told from shared ones."""
    return leaves(inputs)[0].ndim


def device(inputs: Inputs) -> torch.device:
    """Where the first tensor is."""
    return leaves(inputs)[0].device


def rows(inputs: Inputs, chosen: Any) -> Any:
    """Some samples: whatever indexes the first dimension of a tensor."""
    return mapped(lambda values: values[chosen], inputs)


def shape_key(inputs: Inputs) -> tuple[tuple[int, ...], ...]:
    """What tells inputs of one form from another."""
    return (inputs.shape,) if isinstance(inputs, Tensor) else tuple(tuple(values.shape) for values in leaves(inputs))


def sample_shapes(inputs: Inputs) -> Any:
    """The shape of one sample: a tuple, or a tree of tuples."""
    return mapped(lambda values: tuple(values.shape[1:]), inputs)


def flat(inputs: Inputs) -> Tensor:
    """All values of each sample in one row (B, k), float64."""
    return torch.cat([values.reshape(len(values), -1).double() for values in leaves(inputs)], dim=1)


def unflattened(values: Tensor, like: Inputs) -> Any:
    """What :func:`flat` made of inputs of the form of others, of any number of samples: (B, k) -> a tree (B, ...)."""
    own = leaves(like)
    parts = values.split([tensor[0].numel() for tensor in own], dim=1)
    return rebuilt(like, [part.reshape(-1, *one.shape[1:]).to(one.dtype) for part, one in zip(parts, own, strict=True)])


def joined(parts: Sequence[Inputs]) -> Any:
    """Trees of one form, one after the other along the first dimension."""
    return tree_map(lambda *values: torch.cat(values), *parts)


def rebuilt(like: Inputs, values: Sequence[Tensor]) -> Any:
    """A tree of the form of another one, with these tensors in the order of :func:`leaves`."""
    return tree_unflatten(list(values), tree_structure(like))


def equal(first: Inputs, second: Inputs) -> bool:
    """Whether two trees of the same form hold the same values."""
    return all(torch.equal(one, other) for one, other in zip(leaves(first), leaves(second), strict=True))


def plain(inputs: Any) -> Any:
    """The same tree with dictionaries for other mappings, such as a tokeniser's own, into which torch does not look."""
    if isinstance(inputs, Tensor):
        return inputs
    if isinstance(inputs, Mapping):
        return {key: plain(value) for key, value in inputs.items()}
    if type(inputs) in (tuple, list):
        return type(inputs)(plain(value) for value in inputs)
    return inputs


def named(inputs: Inputs, path: str = "inputs") -> dict[str, Tensor]:
    """The tensors of a tree by their dotted paths, in the order of :func:`leaves`; the one of no tree is "inputs"."""
    items = list(enumerate(inputs)) if isinstance(inputs, tuple | list) else []
    items = list(inputs.items()) if isinstance(inputs, Mapping) else items
    if isinstance(inputs, Tensor):
        return {path: inputs}
    root = "" if path == "inputs" else f"{path}."
    return {key: tensor for name, part in items for key, tensor in named(part, f"{root}{name}").items()}


def form(inputs: Any) -> str:
    """What inputs are, in words for a sentence: "a tensor (B, 3)", "a dict of ids (B, 9) and mask (B, 9)"."""
    if isinstance(inputs, Tensor):
        inner = ", ".join(["B", *map(str, inputs.shape[1:])]) if inputs.ndim else ""
        return f"a tensor ({inner})"
    if isinstance(inputs, Mapping):
        return f"a dict of {_listed(f'{key}: {form(value)}' for key, value in inputs.items())}"
    if isinstance(inputs, tuple | list):
        return f"a {type(inputs).__name__} of {_listed(form(value) for value in inputs)}"
    return f"a {type(inputs).__name__}"


def _listed(parts: Any) -> str:
    *most, last = [*parts] or ["nothing"]
    return f"{', '.join(most)} and {last}" if most else last
