"""Layers of many networks at once, for whatever network: intercepts calls of ``torch.nn.functional`` under vmap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import _add_batch_dim, get_unwrapped, is_batchedtensor, maybe_get_bdim, maybe_get_level
from torch.overrides import TorchFunctionMode

MATRIX_OPERATIONS = frozenset(
    {F.linear, F.conv1d, F.conv2d, F.conv3d, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.baddbmm}
)  # what autocast runs in lower precision; CPU's does not see through vmap


WIDE = 2**19  # values of a weight in bfloat16 from which one product for all members is ten times faster than theirs


class Interception(TorchFunctionMode):
    """Around vmap: linear layers of many members, and autocast's precision where it is on.

    Layers lay features before samples in memory, in a network that has met no sequence yet. Samples are many and
    outputs few, so that products, activations and softmaxes then run along the longer side; and where the members share
    the input, all their weights make one matrix. In a sequence that would part the steps of a sample.

    Args:
        autocast: whether autocast is on for the population's device; the CPU's does not see through vmap.
    """

    def __init__(self, autocast: bool):
        super().__init__()
        self.autocast = autocast
        self.sequences = False

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if self.autocast and func in MATRIX_OPERATIONS:
            args, kwargs = lowered(args), dict(zip(kwargs, lowered(kwargs.values()), strict=True))
        return self._linear(*args, **kwargs) if func is F.linear else func(*args, **kwargs)

    def _linear(self, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        self.sequences = self.sequences or input.ndim != 2
        return linear(input, whole(weight) if self._smaller(input, weight) else weight, bias, not self.sequences)

    @staticmethod
    def _smaller(input: Tensor, weight: Tensor) -> bool:
        """Whether a low-rank weight, made explicit, is smaller than what its factors touch."""
        if not (isinstance(weight, LowRankWeight) and is_batchedtensor(input)):
            return False
        center, samples = _plain(weight), input.numel() // input.shape[-1]
        return samples * sum(center.shape) > center.numel()


def linear(input: Tensor, weight: Tensor, bias: Tensor | None, features_first: bool) -> Tensor:
    """x W.T + bias for members with weights of their own, dense or low-rank; other cases go to torch."""
    low_rank = isinstance(weight, LowRankWeight) and not isinstance(bias, LowRankWeight)
    member = Members.of(cast(LowRankWeight, weight).left if low_rank else weight)
    if member is None or not member.knows(input, bias) or not (low_rank or features_first):
        return F.linear(input, weight, bias)
    x, b = member.split(input), None if bias is None else member.all(bias)
    if not low_rank:
        return member.each(dense_features_first(x, member.all(weight), b))
    run = low_rank_features_first if features_first else low_rank_samples_first
    factored = cast(LowRankWeight, weight)
    center, left, right = lowered((_plain(factored), factored.scale * factored.left, factored.right))
    return member.each(run(x, input.ndim, center, member.all(left), member.all(right), b))


def dense_features_first(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Inputs (n, B, b), or (B, b) where they are shared; weights (n, a, b), biases (n, a) -> (n, B, a)."""
    y = (weight.flatten(0, 1) @ x.mT).unflatten(0, weight.shape[:2]) if x.ndim == 2 else torch.bmm(weight, x.mT)
    return (y if bias is None else y.add_(bias[:, :, None])).mT


@dataclass(frozen=True)
class Members:
    """The population inside of vmap: from one member's view of a tensor to that of all, and back.

    ``torch.autograd.Function`` can do the same, at ten times the cost; losses are evaluated without a graph.

    Args:
        level: which vmap it is, where several are nested.
        n: members.
    """

    level: int
    n: int

    @classmethod
    def of(cls, tensor: Tensor) -> Members | None:
        """The population that a tensor is a member's part of; None outside of vmap, or where all share it."""
        if not is_batchedtensor(tensor):
            return None
        return cls(maybe_get_level(tensor), get_unwrapped(tensor).shape[maybe_get_bdim(tensor)])

    def knows(self, *tensors: Tensor | None) -> bool:
        """Whether these are this population's, or shared, and no other vmap's."""
        return all(
            tensor is None or not is_batchedtensor(tensor) or maybe_get_level(tensor) == self.level
            for tensor in tensors
        )

    def split(self, tensor: Tensor) -> Tensor:
        """All members' values (n, ...), or the shared tensor as it is."""
        if not is_batchedtensor(tensor):
            return tensor
        return get_unwrapped(tensor).movedim(maybe_get_bdim(tensor), 0)

    def all(self, tensor: Tensor) -> Tensor:
        """All members' values (n, ...), repeated (by a view) where they are shared."""
        return self.split(tensor) if is_batchedtensor(tensor) else tensor.expand(self.n, *tensor.shape)

    def each(self, tensor: Tensor) -> Tensor:
        """(n, ...) as one member sees it."""
        return _add_batch_dim(tensor, 0, self.level)


def lowered(values: Any) -> tuple:
    """Float32 tensors in autocast's precision, where it is on for their device; other values as they are."""
    return tuple(
        value.to(torch.get_autocast_dtype(value.device.type))
        if isinstance(value, Tensor)
        and not isinstance(value, LowRankWeight)
        and value.dtype == torch.float32
        and torch.is_autocast_enabled(value.device.type)
        else value
        for value in values
    )


class LowRankWeight(Tensor):
    """A weight ``center + scale * left @ right.T`` that a layer applies without ever making it.

    Under vmap ``left`` and ``right`` are one member's, and the centre is everybody's: its product is computed for all
    members at once, and for all members *once* where they share the input. What has no rule here gets the whole weight.

    Args:
        center: (a, *rest).
        left: (a, r).
        right: (b, r), b being the product of the rest.
        scale: a factor.
    """

    left: Tensor
    right: Tensor
    scale: float
    made: Tensor | None  # the whole weight, once somebody needed it

    @staticmethod
    def __new__(cls, center: Tensor, left: Tensor, right: Tensor, scale: float) -> LowRankWeight:
        weight = torch.Tensor._make_subclass(cls, center)
        weight.left, weight.right, weight.scale, weight.made = left, right, scale, None
        return weight

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        rule = RULES.get(func)
        if rule is not None:
            answer = rule(*args, **kwargs)
            if answer is not NotImplemented:
                return answer
        if getattr(func, "__name__", "") == "__get__":  # shape, dtype, device: those of the centre
            return func(_plain(args[0]))
        plain = [whole(value) for value in args]
        return func(*plain, **{key: whole(value) for key, value in kwargs.items()})


def _plain(weight: LowRankWeight) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return weight.as_subclass(Tensor)


def whole(value: Any) -> Any:
    """A low-rank weight made explicit; other values as they are."""
    if not isinstance(value, LowRankWeight):
        return value
    if value.made is None:
        center = _plain(value)
        value.made = center + (value.scale * value.left @ value.right.mT).reshape(center.shape)
    return value.made


def low_rank_features_first(
    x: Tensor, ndim: int, center: Tensor, left: Tensor, right: Tensor, bias: Tensor | None
) -> Tensor:
    """All members' outputs, features before samples: one product by the centre, the rest added in place.

    Args:
        x: (n, B, b), or (B, b) where the members share it.
        ndim: dimensions of one member's input: 2.
        center: (a, b).
        left: (n, a, r).
        right: (n, b, r).
        bias: (n, a).

    Returns:
        (n, B, a).
    """
    if x.ndim == ndim:  # the product by the centre is everybody's, too
        projected = (right.mT.flatten(0, 1) @ x.mT).unflatten(0, (len(right), -1))
        y = (center @ x.mT).expand(len(left), -1, -1)
        add = torch.baddbmm
    else:
        projected = right.mT @ x.mT
        y = product_of_all(center, x) if is_wide(center) else center @ x.mT
        add = Tensor.baddbmm_
    if bias is not None:  # one more column
        left = torch.cat([left, bias[:, :, None]], dim=2)
        projected = torch.cat([projected, projected.new_ones(len(left), 1, projected.shape[2])], dim=1)
    return add(y, left, projected).mT


def is_wide(center: Tensor) -> bool:
    """Whether a product by this weight is best made for all members at once; in float32 that saves a tenth at most."""
    return center.dtype == torch.bfloat16 and center.numel() >= WIDE


def product_of_all(center: Tensor, x: Tensor) -> Tensor:
    """(a, b) times all members' features (n, B, b), as one product, to (n, a, B): features before members in memory."""
    n, samples, features = x.shape
    return (center @ x.permute(2, 0, 1).reshape(features, -1)).view(len(center), n, samples).movedim(1, 0)


def low_rank_samples_first(
    x: Tensor, ndim: int, center: Tensor, left: Tensor, right: Tensor, bias: Tensor | None
) -> Tensor:
    """The same for (n, \\*samples, b), or (\\*samples, b) where it is shared, to (n, \\*samples, a), as they stand."""
    n, samples = len(left), x.shape[-ndim:-1]
    if x.ndim == ndim:
        rows = x.reshape(1, -1, x.shape[-1])
        projected = (rows[0] @ right.movedim(0, 1).flatten(1)).unflatten(1, (n, -1)).movedim(1, 0)
        y = rows @ center.mT
    else:
        rows = x.reshape(n, -1, x.shape[-1])
        projected = torch.bmm(rows, right)
        y = (rows.flatten(0, 1) @ center.mT).unflatten(0, rows.shape[:2])
    if bias is not None:
        left = torch.cat([left, bias[:, :, None]], dim=2)
        projected = torch.cat([projected, projected.new_ones(*projected.shape[:2], 1)], dim=2)
    y = torch.baddbmm(y, projected, left.mT) if x.ndim == ndim else y.baddbmm_(projected, left.mT)
    return y.unflatten(1, samples)


def low_rank_embedding(input: Tensor, weight: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Rows of W, and the same rows of left times right."""
    if not isinstance(weight, LowRankWeight) or any(args) or any(kwargs.values()):
        return NotImplemented
    return F.embedding(input, _plain(weight)) + (weight.scale * weight.left[input]) @ weight.right.mT


def low_rank_convolution(convolve: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """A convolution by the centre, and one by r filters whose outputs ``left`` mixes into the channels."""

    def rule(input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any) -> Tensor:
        groups = kwargs.get("groups", args[3] if len(args) > 3 else 1)
        if not isinstance(weight, LowRankWeight) or groups != 1:
            return NotImplemented
        center = _plain(weight)
        filters = weight.right.mT.reshape(-1, *center.shape[1:])
        center, filters, left = lowered((center, filters, weight.scale * weight.left))
        y = convolve(input, center, bias, *args, **kwargs)
        mixed = left @ convolve(input, filters, None, *args, **kwargs).flatten(-(center.ndim - 2))
        return y + mixed.view(y.shape)

    return rule


RULES: dict[Any, Callable[..., Any]] = {
    F.embedding: low_rank_embedding,
    F.conv1d: low_rank_convolution(F.conv1d),
    F.conv2d: low_rank_convolution(F.conv2d),
}
