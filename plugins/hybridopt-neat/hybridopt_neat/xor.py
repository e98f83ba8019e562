"""Exclusive or, the smallest problem that no network without a hidden node solves (Minsky & Papert 1969)."""

from typing import Literal

import torch

from hybridopt import DataSpec, TensorDataModule


def xor(task: Literal["regression", "classification"] = "regression") -> TensorDataModule:
    """Exclusive or of two bits: four samples, which are training, validation and test set in one.

    There is nothing to generalise to: a network that has learned the four samples has learned all there is. The test
    tells whether it has.

    Args:
        task: "regression" of one value, 0 or 1, for objective=mse, or "classification" of two classes.

    Returns:
        Inputs (2,), 0 or 1; targets 0 or 1. All four samples are in every batch.
    """
    inputs = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    classes = torch.tensor([0, 1, 1, 0])
    regression = task == "regression"
    samples = (inputs, classes[:, None].float() if regression else classes)
    spec = DataSpec((2,), 1 if regression else 2, task)
    return TensorDataModule(samples, samples, samples, spec, batch_size=None)


xor.conformance = {
    "expected_failures": {"splits_disjoint": "The four samples are all there are, so that the three sets are one."}
}
