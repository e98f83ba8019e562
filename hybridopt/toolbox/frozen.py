"""The plain values among an object's attributes: out as tensors and numbers, which a checkpoint may hold, and back in.

Both directions are exact: arrays keep their type, shape and memory layout, by which a matrix product rounds; and two
attributes that were one array are one again. A range comes back as a list.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

Frozen = dict[str, Any]


def freeze(thing: Any, skip: Collection[str] = ()) -> Frozen:
    """Copies of the attributes that are numbers, arrays, or lists and dictionaries of such; others are left out."""
    made: dict[int, Tensor] = {}
    return {name: frozen(value, made) for name, value in vars(thing).items() if name not in skip and is_plain(value)}


def thaw(thing: Any, state: Mapping[str, Any]) -> None:
    """Give an object the attributes that :func:`freeze` took."""
    made: dict[int, np.ndarray] = {}
    vars(thing).update({name: thawed(value, made) for name, value in state.items()})


def is_plain(value: Any) -> bool:
    """Whether a value can be frozen."""
    if type(value) in (list, tuple, range):
        return all(is_plain(item) for item in value)
    if type(value) is dict:
        return bool(value) and all(type(key) is str and is_plain(item) for key, item in value.items())  # no empty cache
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiub"
    return value is None or isinstance(value, (bool, int, float, str, np.number, np.bool_))


def frozen(value: Any, made: dict[int, Tensor]) -> Any:
    """One value; ``made`` remembers which array became which tensor."""
    if isinstance(value, np.ndarray):
        return made.setdefault(id(value), torch.from_numpy(value.copy(order="K")))
    if type(value) in (list, tuple, range):
        kind = tuple if type(value) is tuple else list
        return kind(frozen(item, made) for item in value)
    if type(value) is dict:
        return {key: frozen(item, made) for key, item in value.items()}
    return value.item() if isinstance(value, (np.number, np.bool_)) else value


def thawed(value: Any, made: dict[int, np.ndarray]) -> Any:
    """The other way."""
    if isinstance(value, Tensor):
        return made.setdefault(id(value), value.cpu().numpy().copy(order="K"))
    if type(value) in (list, tuple):
        return type(value)(thawed(item, made) for item in value)
    if type(value) is dict:
        return {key: thawed(item, made) for key, item in value.items()}
    return value
