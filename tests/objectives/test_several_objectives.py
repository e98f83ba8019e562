"""Several objectives of one run: what they read, what that costs, and what does not fit."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchmetrics.classification import MulticlassCalibrationError

from hybridopt import Budget, ConfigError, Ledger, Oracle, compose
from hybridopt.core.compatibility import check_compatible
from hybridopt.engine.evaluator import Passes
from hybridopt.engine.forward import OfOne, PopulationForward
from hybridopt.engine.population import SeededPopulation
from hybridopt.objectives.calibration import Calibration
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.flops import Flops
from hybridopt.objectives.l1_norm import L1Norm
from hybridopt.objectives.margin import Margin
from hybridopt.objectives.several import Several
from hybridopt.objectives.size import Size
from hybridopt.objectives.zero_one import ZeroOne
from hybridopt.objectives.zero_weights import ZeroWeights
from hybridopt.strategies.metaheuristics.genetic_algorithm import GeneticAlgorithm

B, FEATURES, CLASSES = 6, 4, 3
PARTS = {"loss": CrossEntropy(), "error": ZeroOne(), "sparsity": ZeroWeights(), "norm": L1Norm()}


def made(objective=None, budget=1e6):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES))
    batch = torch.randn(B, FEATURES), torch.randint(CLASSES, (B,))
    objective = objective or Several(dict(PARTS))
    return Oracle(model, objective, Ledger(Budget(forwards=budget)), torch.Generator().manual_seed(1)), batch


def members(oracle, n):
    population = oracle.start + 0.3 * torch.randn(n, oracle.dimension, generator=torch.Generator().manual_seed(2))
    population[:, :7] = 0.0
    return population


def test_all_readings_cost_one_pass_and_are_those_of_each_alone():
    oracle, batch = made()
    population = members(oracle, 5)
    readings = oracle.readings(population, batch)
    assert (oracle.ledger.forwards, oracle.ledger.evaluations) == (5 * B, 5)
    for column, part in zip(readings.T, PARTS.values(), strict=True):
        torch.testing.assert_close(column, oracle.with_objective(part).losses(population, batch))
    weights = 5 * FEATURES + 5 * CLASSES
    torch.testing.assert_close(readings[:, 2], torch.full((5,), 1 - 7 / weights))
    torch.testing.assert_close(readings[:, 3], population.abs().mean(1))


def test_weights_alone_cost_nothing_and_have_the_gradient_of_their_norm():
    oracle, batch = made()
    population, view = members(oracle, 3), oracle.with_objective(L1Norm())
    losses, slopes = view.gradients(population, batch)
    torch.testing.assert_close(losses, population.abs().mean(1))
    torch.testing.assert_close(slopes, population.sign() / oracle.dimension)
    assert oracle.ledger.forwards == 0


def test_seeded_members_are_read_as_dense_ones():
    oracle, batch = made()
    seeded = SeededPopulation(oracle.start, torch.tensor([3, 4]), torch.tensor([0.1, -0.1]))
    torch.testing.assert_close(oracle.readings(seeded, batch), oracle.readings(seeded.materialize(), batch))
    one = seeded[0:1]
    torch.testing.assert_close(oracle.readings(one, batch), oracle.readings(one.materialize(), batch))


def test_objectives_with_passes_of_their_own_pay_for_them():
    class Twice(CrossEntropy):
        def outputs(self, forward, batch):
            return (forward(batch[0]) + forward(-batch[0])) / 2

    oracle, batch = made()
    oracle.readings(members(oracle, 4), batch, [CrossEntropy(), ZeroOne(), Twice()])
    assert oracle.ledger.forwards == 3 * 4 * B


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), torch.randn(1, 4)),
        (
            nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3)),
            torch.randn(1, 2, 5, 5),
        ),
        (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), torch.randn(1, 7, 4)),
    ],
)
def test_flops_of_a_dense_network_are_those_that_torch_counts(model, inputs):
    with FlopCounterMode(display=False) as counter:
        model(inputs)
    found = Flops().outputs(OfOne(model, inputs), (inputs, None))
    assert float(found) * 1000 == pytest.approx(counter.get_total_flops() / 2)
    model[0].weight.data[0] = 0.0
    assert float(Flops().outputs(OfOne(model, inputs), (inputs, None))) < float(found)


def test_size_is_that_of_all_values_or_of_those_that_are_not_zero():
    value = torch.zeros(3, 10, 20)
    value[0] = 1.0
    value[1, 0] = 1.0
    run = PopulationForward(layer := nn.Linear(20, 10, bias=False))
    found = Size().outputs(Passes(run, {"weight": value}, torch.zeros(1, 20), 3), (torch.zeros(1, 20), None))[:, 0]
    assert (1000 * found).round().tolist() == [800, 80 + 25, 25]
    assert layer.weight.shape == (10, 20)


def test_calibration_is_that_of_torchmetrics():
    logits, targets = 3 * torch.randn(200, CLASSES), torch.randint(CLASSES, (200,))
    expected = MulticlassCalibrationError(CLASSES, n_bins=15)(logits.softmax(1), targets)
    torch.testing.assert_close(Calibration().loss(logits, targets), expected, rtol=1e-4, atol=1e-5)


def test_margin_goes_from_sure_and_right_to_sure_and_wrong():
    logits = torch.tensor([[40.0, 0.0, 0.0]])
    assert float(Margin().loss(logits, torch.tensor([0]))) == pytest.approx(0)
    assert float(Margin().loss(logits, torch.tensor([1]))) == pytest.approx(2)


def test_the_command_line_names_several_objectives():
    config = compose("objectives={loss: cross_entropy, sparsity: {name: zero_weights, below: 0.1}}").objective
    assert config.name == "several"
    assert config.parts.loss == {"name": "cross_entropy"}
    assert config.parts.sparsity == {"name": "zero_weights", "below": 0.1}


@pytest.mark.parametrize(
    "typed", ["objectives=cross_entropy", "objectives={loss: {below: 1}}", "objectives={}", "objectives=[a,b]"]
)
def test_what_names_no_objectives_is_refused_in_a_sentence(typed):
    with pytest.raises(ConfigError, match=r"objectives") as refused:
        compose(typed)
    assert "type " in str(refused.value)


@pytest.mark.parametrize(
    ("parts", "reference", "sentence"),
    [
        ({"loss": CrossEntropy()}, {}, "must name two objectives or more, but names loss"),
        ({"a": CrossEntropy(), "b": Several(dict(PARTS))}, {}, "name them side by side"),
        ({"a": CrossEntropy(), "b": ZeroOne()}, {"c": 1.0}, "objective.reference.c is none of the objectives"),
    ],
)
def test_what_is_no_set_of_objectives_is_refused(parts, reference, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Several(parts, reference)


def test_weights_cannot_be_all_that_a_run_lowers():
    strategy = GeneticAlgorithm()
    for objective in (ZeroWeights(), Several({"size": Size(), "loss": CrossEntropy()})):
        with pytest.raises(ConfigError, match="reads nothing but weights: name it behind a loss"):
            check_compatible(objective, strategy, None, None)
    check_compatible(Several({"loss": CrossEntropy(), "size": Size()}), strategy, None, None)
