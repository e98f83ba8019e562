"""Layers of many networks at once, for whatever network: calls of ``torch.nn.functional`` are met on their way in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch._C._functorch import is_batchedtensor
from torch.overrides import TorchFunctionMode

MATRIX_OPERATIONS = frozenset(
    {F.linear, F.conv1d, F.conv2d, F.conv3d, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, torch.baddbmm}
)  # what autocast runs in lower precision; CPU's does not see through vmap


class Interception(TorchFunctionMode):
    """Runs matrix operations in autocast's precision where it is on: the CPU's does not see through vmap."""

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func in MATRIX_OPERATIONS:
            args, kwargs = lowered(args), dict(zip(kwargs, lowered(kwargs.values()), strict=True))
        return func(*args, **kwargs)


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


def leading(value: Tensor, dim: int | None, n: int) -> Tensor:
    """The batch dimension in front; expanded where there is none."""
    return value.expand(n, *value.shape) if dim is None else value.movedim(dim, 0)


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


def low_rank_linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x W.T + (x right) (scale left).T + bias."""
    if not isinstance(weight, LowRankWeight) or isinstance(bias, LowRankWeight):
        return NotImplemented
    center = _plain(weight)
    samples = input.numel() // input.shape[-1]
    if is_batchedtensor(input) and samples * sum(center.shape) > center.numel():
        return F.linear(*lowered((input, whole(weight), bias)))  # the weight is smaller than what the factors touch
    center, left, right = lowered((center, weight.scale * weight.left, weight.right))
    return LowRankLinear.apply(*lowered((input,)), center, left, right, *lowered((bias,)))


class LowRankLinear(torch.autograd.Function):
    """A linear layer by a centre and factors; its vmap makes one product by the centre, and adds the rest in place."""

    @staticmethod
    def forward(x: Tensor, center: Tensor, left: Tensor, right: Tensor, bias: Tensor | None) -> Tensor:
        y = x @ center.mT + (x @ right) @ left.mT
        return y if bias is None else y + bias

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Populations are evaluated without a graph."""

    @staticmethod
    def vmap(info: Any, in_dims: Any, x: Tensor, center: Tensor, *factors: Tensor | None) -> tuple[Tensor, int]:
        n = info.batch_size
        left, right, bias = (
            None if value is None else leading(value, dim, n) for value, dim in zip(factors, in_dims[2:], strict=True)
        )
        x_dim, samples = in_dims[0], x.shape[:-1]
        if x_dim is None:  # everybody's input: the product by the centre is everybody's too
            rows = x.reshape(1, -1, x.shape[-1])
            projected = (rows[0] @ right.movedim(0, 1).flatten(1)).unflatten(1, (n, -1)).movedim(1, 0)
            y = rows @ center.mT
        else:
            x = x.movedim(x_dim, 0)
            samples, rows = x.shape[1:-1], x.reshape(n, -1, x.shape[-1])
            projected = torch.bmm(rows, right)
            y = (rows.flatten(0, 1) @ center.mT).unflatten(0, rows.shape[:2])
        if bias is not None:  # the bias is one more column
            left = torch.cat([left, bias[:, :, None]], dim=2)
            projected = torch.cat([projected, projected.new_ones(*projected.shape[:2], 1)], dim=2)
        y = y.baddbmm_(projected, left.mT) if x_dim is not None else torch.baddbmm(y, projected, left.mT)
        return y.unflatten(1, samples), 0


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
    F.linear: low_rank_linear,
    F.embedding: low_rank_embedding,
    F.conv1d: low_rank_convolution(F.conv1d),
    F.conv2d: low_rank_convolution(F.conv2d),
}
