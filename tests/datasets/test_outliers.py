"""A convex loss is misled by outliers, and the share of errors is not."""

import torch
from sklearn.linear_model import LogisticRegression

from hybridopt.datasets.outliers import outliers


def test_outliers_are_in_training_alone_and_far_out() -> None:
    module = outliers(samples=1000, distance=10.0)
    lengths = {name: inputs.norm(dim=1) for name, (inputs, _) in module.sets.items()}
    assert int((lengths["train"] > 9).sum()) == 10
    assert max(float(lengths[name].max()) for name in ("val", "test")) < 9


def test_a_convex_loss_gives_up_samples_for_them() -> None:
    misled, clean = (
        LogisticRegression(C=1e6, max_iter=1000).fit(*module.sets["train"]).score(*module.sets["test"])
        for module in (outliers(), outliers(wrong=0.0))
    )
    assert clean > 0.95
    assert misled < 0.8
    assert torch.equal(outliers().sets["test"][0], outliers(wrong=0.0).sets["test"][0])
