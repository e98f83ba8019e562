"""Losses that more than one objective is made of."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hybridopt.errors import DataError

FEW = 32  # classes up to which torch's softmax is several times faster across samples than along each one's few logits


def negative_log_likelihood(logits: Tensor, targets: Tensor) -> Tensor:
    """Of the softmax, in nats: logits (n, B, classes) and targets (B,) -> (n, B)."""
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    targets = targets.expand(len(logits), -1)
    if logits.shape[2] > FEW:
        rows = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        return rows.unflatten(0, targets.shape)
    return F.cross_entropy(logits.mT, targets, reduction="none")


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Of outputs and targets, both (B, output_size), over both dimensions.

    Raises:
        DataError: the shapes differ (broadcast, (B,) and (B, 1) would give a wrong number).
    """
    if outputs.shape != targets.shape:
        raise DataError(
            f"objective=mse needs targets of the outputs' shape {tuple(outputs.shape)}, but they have the shape "
            f"{tuple(targets.shape)}: let the data set give targets of shape (samples, output_size)."
        )
    return F.mse_loss(outputs, targets)
