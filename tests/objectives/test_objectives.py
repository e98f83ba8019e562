"""What built-in objectives promise beyond the checks of the kit, and references for their losses and metrics."""

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from hybridopt.composition.building import build
from hybridopt.composition.registry import plugins
from hybridopt.core.spec import DataSpec
from hybridopt.errors import ConfigError, DataError
from hybridopt.objectives.auc import AUC
from hybridopt.objectives.calibration import Calibration
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.f1 import F1
from hybridopt.objectives.hinge import Hinge
from hybridopt.objectives.likelihood import Likelihood
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.objectives.sigmoid_zero_one import SigmoidZeroOne
from hybridopt.objectives.top_k import TopK
from hybridopt.objectives.zero_one import ZeroOne

NOT_OF_OUTPUTS = {"zero_weights", "size", "flops", "l1_norm", "several"}  # see test_several_objectives.py
MEASURES = {"mean_output", "layer_share", "disagreement"}  # see test_measures.py
OBJECTIVES = [
    name
    for name, claims in plugins("objective").items()
    if any(p.distribution == "hybridopt" for p in claims) and name not in NOT_OF_OUTPUTS | MEASURES
]
CLASSES, BATCH = 4, 40


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(params=OBJECTIVES)
def objective(request):
    return build("objective", {"name": f"hybridopt:{request.param}"})


def problems(objective, generator):
    """A spec, outputs (B, output_size) and targets, for each task that the objective is made for."""
    for task in sorted(objective.tasks):
        outputs = torch.randn(BATCH, CLASSES, generator=generator)
        classes = torch.randint(CLASSES, (BATCH,), generator=generator)
        values = torch.randn(BATCH, CLASSES, generator=generator)
        yield DataSpec((3,), CLASSES, task), outputs, classes if task == "classification" else values


def test_loss_is_the_mean_over_the_batch(objective, generator):
    if isinstance(objective, F1 | AUC | Calibration):
        pytest.skip("counts classes, pairs or shares of samples, which a single sample has none of")
    for _, outputs, targets in problems(objective, generator):
        single = [objective.loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(BATCH)]
        torch.testing.assert_close(objective.loss(outputs, targets), torch.stack(single).mean())


def test_classification_metrics_agree_with_scikit_learn(objective, generator):
    if "classification" not in objective.tasks:
        pytest.skip("is not for classification")
    (spec, outputs, targets), *_ = problems(objective, generator)
    predicted = outputs.argmax(1)
    found = objective.metrics(spec)(outputs, targets)
    assert found.keys() == {"accuracy", "f1"}
    assert float(found["accuracy"]) == pytest.approx(sklearn_metrics.accuracy_score(targets, predicted))
    assert float(found["f1"]) == pytest.approx(sklearn_metrics.f1_score(targets, predicted, average="macro"))


@pytest.mark.parametrize("outputs", [1, 3])
def test_regression_metrics_agree_with_scikit_learn(outputs, generator):
    predicted, targets = torch.randn(2, BATCH, outputs, generator=generator)
    found = MeanSquaredError().metrics(DataSpec((3,), outputs, "regression"))(predicted, targets)
    assert found.keys() == {"r2", "mae"}
    assert float(found["r2"]) == pytest.approx(sklearn_metrics.r2_score(targets, predicted), rel=1e-4)
    assert float(found["mae"]) == pytest.approx(sklearn_metrics.mean_absolute_error(targets, predicted), rel=1e-4)


def test_the_likelihood_is_that_of_the_task(generator):
    expected = {"classification": CrossEntropy(), "regression": MeanSquaredError()}
    for spec, outputs, targets in problems(Likelihood(), generator):
        assert torch.equal(Likelihood().loss(outputs, targets), expected[spec.task].loss(outputs, targets))
        members = torch.stack([outputs, 2 * outputs])
        assert torch.equal(Likelihood().losses(members, targets), expected[spec.task].losses(members, targets))
        assert Likelihood().metrics(spec).keys() == expected[spec.task].metrics(spec).keys()


def test_cross_entropy_is_the_log_loss(generator):
    (_, outputs, targets), *_ = problems(CrossEntropy(), generator)
    reference = sklearn_metrics.log_loss(targets, outputs.double().softmax(1).numpy(), labels=range(CLASSES))
    assert float(CrossEntropy().loss(outputs, targets)) == pytest.approx(reference, rel=1e-5)


def test_hinge_is_the_loss_of_crammer_and_singer(generator):
    (_, outputs, targets), *_ = problems(Hinge(), generator)
    reference = sklearn_metrics.hinge_loss(targets, outputs.numpy(), labels=np.arange(CLASSES))
    assert float(Hinge().loss(outputs, targets)) == pytest.approx(reference, rel=1e-5)


def test_hinge_is_zero_from_a_lead_of_one():
    targets = torch.tensor([2])
    assert Hinge().loss(torch.tensor([[0.0, 3.0, 4.0]]), targets) == 0
    assert Hinge().loss(torch.tensor([[0.0, 3.0, 3.75]]), targets) == pytest.approx(0.25)


def test_zero_one_is_the_share_of_mistakes():
    outputs = torch.tensor([[2.0, 1.0], [0.0, 1.0], [0.0, 1.0], [float("nan"), 1.0]])
    assert ZeroOne().loss(outputs, torch.tensor([0, 0, 1, 0])) == 0.5


def test_zero_one_complements_the_accuracy(generator):
    (spec, outputs, targets), *_ = problems(ZeroOne(), generator)
    accuracy = ZeroOne().metrics(spec)(outputs, targets)["accuracy"]
    torch.testing.assert_close(ZeroOne().loss(outputs, targets), 1 - accuracy)


def test_mse_is_the_mean_over_samples_and_targets():
    outputs, targets = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    assert MeanSquaredError().loss(outputs, targets) == pytest.approx((0 + 4 + 9 + 1) / 4)


def test_mse_refuses_to_broadcast():
    with pytest.raises(DataError, match=r"shape \(5, 1\), but they have the shape \(5,\)"):
        MeanSquaredError().loss(torch.zeros(5, 1), torch.zeros(5))


def scores(classes: int, generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(BATCH, classes, generator=generator), torch.randint(classes, (BATCH,), generator=generator)


def test_f1_is_that_of_scikit_learn(generator):
    outputs, targets = scores(CLASSES, generator)
    peer = sklearn_metrics.f1_score(targets, outputs.argmax(1), average="macro")
    assert F1().loss(outputs, targets).item() == pytest.approx(1 - peer, abs=1e-6)


def test_auc_is_that_of_scikit_learn(generator):
    outputs, targets = scores(2, generator)
    peer = sklearn_metrics.roc_auc_score(targets, outputs[:, 1] - outputs[:, 0])
    assert AUC().loss(outputs, targets).item() == pytest.approx(1 - peer, abs=1e-6)


def test_auc_of_several_classes_is_the_mean_of_each_against_the_rest(generator):
    outputs, targets = scores(CLASSES, generator)
    peers = []
    for label in range(CLASSES):
        rest = outputs.clone()
        rest[:, label] = -torch.inf
        peers.append(sklearn_metrics.roc_auc_score(targets == label, outputs[:, label] - rest.max(1).values))
    assert AUC().loss(outputs, targets).item() == pytest.approx(1 - np.mean(peers), abs=1e-6)


def test_scores_that_are_all_the_same_order_half_of_the_pairs():
    assert AUC().loss(torch.zeros(6, 2), torch.tensor([0, 1, 0, 1, 1, 1])).item() == 0.5


def test_a_batch_of_one_class_has_no_pairs_to_put_in_order():
    assert AUC().loss(torch.randn(4, 2), torch.zeros(4, dtype=torch.int64)).item() == 0.0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_is_that_of_scikit_learn(k, generator):
    outputs, targets = scores(CLASSES, generator)
    peer = sklearn_metrics.top_k_accuracy_score(targets, outputs, k=k, labels=range(CLASSES))
    assert TopK(k).loss(outputs, targets).item() == pytest.approx(1 - peer, abs=1e-6)


def test_a_shared_place_is_no_place_in_the_top():
    assert TopK(2).loss(torch.zeros(3, 4), torch.tensor([0, 1, 2])).item() == 1.0


@pytest.mark.parametrize("objective", [F1(), AUC(), TopK(1)], ids=["f1", "auc", "top_k"])
def test_scores_that_are_no_numbers_are_wrong(objective):
    outputs = torch.full((4, 3), torch.nan)
    assert objective.loss(outputs, torch.tensor([0, 1, 2, 0])).item() == 1.0


def test_a_steep_sigmoid_is_the_zero_one_loss(generator):
    outputs, targets = scores(CLASSES, generator)
    steep = SigmoidZeroOne(1e4).loss(outputs, targets)
    assert steep.item() == pytest.approx(ZeroOne().loss(outputs, targets).item(), abs=1e-4)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ConfigError, match=r"objective\.k must be at least 1, but is 0"):
        TopK(0)
    with pytest.raises(ConfigError, match=r"objective\.beta must be a positive number, but is 0"):
        SigmoidZeroOne(0.0)
