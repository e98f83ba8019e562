"""Measures: what they read off a network, and where their ranges come from."""

import pytest
import torch
from torch import nn

from hybridopt import Budget, ConfigError, Ledger, Oracle
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.disagreement import Disagreement
from hybridopt.objectives.l1_norm import L1Norm
from hybridopt.objectives.layer_share import LayerShare
from hybridopt.objectives.mean_output import MeanOutput
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.objectives.zero_weights import ZeroWeights
from hybridopt.toolbox.measures import bounds_of, check_differentiable

B, FEATURES, CLASSES = 6, 4, 3


@pytest.fixture
def oracle():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, 5), nn.Tanh(), nn.Linear(5, CLASSES))
    return Oracle(model, CrossEntropy(), Ledger(Budget(forwards=1e6)), torch.Generator().manual_seed(1))


@pytest.fixture
def batch():
    return torch.randn(B, FEATURES), torch.randint(CLASSES, (B,))


def members(oracle, n=4):
    return oracle.start + torch.randn(n, oracle.dimension, generator=torch.Generator().manual_seed(2))


def test_outputs_are_averaged_over_the_batch(oracle, batch):
    population = members(oracle)
    outputs = oracle.outputs(population, batch)
    measures = [MeanOutput(), MeanOutput(-1), MeanOutput(1, "softmax"), MeanOutput(1, "sigmoid")]
    expected = [outputs[..., 0], outputs[..., 2], outputs.softmax(-1)[..., 1], outputs[..., 1].sigmoid()]
    before = oracle.ledger.forwards
    readings = oracle.readings(population, batch, measures)
    assert oracle.ledger.forwards - before == 4 * B
    torch.testing.assert_close(readings, torch.stack([one.mean(1) for one in expected], 1))
    assert [measure.range for measure in measures] == [None, None, (0, 1), (0, 1)]


@pytest.mark.parametrize("of", ["norm", "nonzero"])
def test_the_shares_of_all_layers_are_the_whole(oracle, batch, of):
    population = members(oracle)
    population[1, :20] = 0.0  # the first layer's weights
    population[2] = 0.0
    layers = [LayerShare(0, of), LayerShare(-1, of), LayerShare("0", of), LayerShare("2", of)]
    first, last, named, other = oracle.readings(population, batch, layers).T
    assert torch.equal(first, named)
    assert torch.equal(last, other)
    torch.testing.assert_close(first + last, torch.tensor([1.0, 1.0, 0.0, 1.0]))
    by_hand = {"norm": (population[0, :25] ** 2).sum() / (population[0] ** 2).sum(), "nonzero": 25 / 43}
    assert float(first[0]) == pytest.approx(float(by_hand[of]))
    assert float(first[1]) < float(first[0])
    assert oracle.ledger.forwards == 0


def test_decisions_are_compared_with_the_reference_or_the_targets(oracle, batch):
    population, measure = members(oracle), Disagreement()
    decisions = oracle.outputs(population, batch).argmax(-1)
    assert torch.equal(oracle.readings(population, batch, [measure])[:, 0], (decisions != batch[1]).float().mean(1))
    measure.compare_with(oracle.outputs(population[:1], batch)[0])
    against = oracle.readings(population, batch, [measure])[:, 0]
    assert torch.equal(against, (decisions != decisions[0]).float().mean(1))
    assert against[0] == 0 < against.max()
    assert measure.state_dict() == {}


def test_what_a_network_does_not_have_is_refused(oracle, batch):
    for measure, sentence in {
        MeanOutput(3): "objective.index must be one of the network's outputs, 0 to 2, but is 3",
        LayerShare(2): "its place from 0 to 1, but is 2",
        LayerShare("1"): "objective.layer is no layer with parameters.* Choose from: 0, 2",
    }.items():
        with pytest.raises(ConfigError, match=sentence):
            oracle.readings(members(oracle), batch, [measure])


def test_a_range_is_the_one_that_is_set_or_the_measure_s_own():
    measures = {"zeros": ZeroWeights(), "share": LayerShare(), "output": MeanOutput()}
    ranges = {"output": [-1, 2], "share": [0.5, 0.6]}
    assert bounds_of(measures, ranges) == {"zeros": (0, 1), "share": (0.5, 0.6), "output": (-1, 2)}


@pytest.mark.parametrize(
    ("measures", "ranges", "sentence"),
    [
        ({}, {}, r"must name one measure or more: type \+objective@strategy.measures.share=layer_share"),
        ({"norm": L1Norm()}, {}, r"strategy.measures.norm, L1Norm, has no range.*: type '\+strategy.ranges.norm="),
        ({"zeros": ZeroWeights()}, {"zero": [0, 1]}, "ranges.zero is the range of no measure. Did you mean 'zeros'"),
        ({"norm": L1Norm()}, {"norm": [1, 1]}, r"must be a lower and an upper bound.*, but is \[1, 1\]"),
        ({"norm": L1Norm()}, {"norm": [0, float("inf")]}, "must be a lower and an upper bound"),
        ({"norm": L1Norm()}, {"norm": [0, 1, 2]}, "must be a lower and an upper bound"),
    ],
)
def test_what_is_no_range_is_refused(measures, ranges, sentence):
    with pytest.raises(ConfigError, match=sentence):
        bounds_of(measures, ranges)


def test_measures_without_a_gradient_are_refused_where_one_is_needed():
    check_differentiable({"share": LayerShare(), "loss": MeanSquaredError()})
    for odd in (ZeroWeights(), LayerShare(of="nonzero")):
        with pytest.raises(ConfigError, match=r"measures.odd, \w+, has no gradient"):
            check_differentiable({"share": LayerShare(), "odd": odd})
