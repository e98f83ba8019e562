"""Annealing of the last layer, and searches in coordinates that are safe."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin, deploy, make_strategy, oracle_for, run_steps
from torch import nn

from hybridopt.core.compatibility import check_compatible
from hybridopt.encodings.parameter_group import last_module
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.strategies.hybrid.safe_mutation import Rescaled, sensitivity


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))


def data() -> tuple[torch.Tensor, torch.Tensor]:
    x = torch.randn(100, 4, generator=torch.Generator().manual_seed(1))
    return x, (x[:, 0] + x[:, 1] ** 2 > 0.5).long()


def test_only_the_last_layer_moves_once_gradients_are_done_with() -> None:
    model, strategy = network(), make_strategy("simulated_annealing_head", pretrain_share=0.5)
    oracle = oracle_for(model, CrossEntropy(), 60_000)
    begin(strategy, oracle, data())
    while strategy.current == "pretrain":
        strategy.step(oracle, data())
    hidden = model[0].weight.detach().clone()
    head = model[2].weight.detach().clone()
    while not oracle.exhausted:
        strategy.step(oracle, data())
    deploy(strategy, oracle)
    assert torch.equal(model[0].weight, hidden)
    assert not torch.equal(model[2].weight, head)


def test_annealing_improves_a_network_that_was_trained_too_little() -> None:
    model, strategy = network(), make_strategy("simulated_annealing_head", pretrain_share=0.01)
    oracle = oracle_for(model, CrossEntropy(), 200_000)
    begin(strategy, oracle, data())
    while strategy.current == "pretrain":
        strategy.step(oracle, data())
    before = float(oracle.objective.loss(model(data()[0]), data()[1]).detach())
    while not oracle.exhausted:
        strategy.step(oracle, data())
    deploy(strategy, oracle)
    assert float(oracle.objective.loss(model(data()[0]), data()[1]).detach()) < before


def test_a_gradient_can_move_the_group_too() -> None:
    model, strategy = network(), make_strategy("simulated_annealing_head", pretrain_share=0.1, search={"name": "adam"})
    oracle = oracle_for(model, CrossEntropy(), 60_000)
    begin(strategy, oracle, data())
    while strategy.current == "pretrain":
        strategy.step(oracle, data())
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    while not oracle.exhausted:
        strategy.step(oracle, data())
    deploy(strategy, oracle)
    moved = [name for name, value in model.named_parameters() if not torch.equal(value, before[name])]
    assert moved == [name for name in before if name.startswith(last_module(list(before)).removesuffix("*"))]


def test_what_works_on_the_parameters_themselves_cannot_move_the_group() -> None:
    strategy = make_strategy("simulated_annealing_head", search={"name": "forward_gradient"})
    with pytest.raises(ConfigError, match=r"strategy\.search, the strategy ForwardGradient works on the parameters"):
        check_compatible(CrossEntropy(), strategy, None, None)


# -- safe mutations ---------------------------------------------------------------------------------------------------


def test_coordinates_are_a_change_of_scale_and_nothing_else() -> None:
    model = network()
    own = dict(model.named_parameters())
    scale = torch.rand(sum(value.numel() for value in own.values())) + 0.5
    encoding = Rescaled()
    encoding.scale = scale
    encoding.attach(own)
    z = encoding.begin(own, torch.Generator())
    decoded = encoding.decode(z[None])
    assert all(torch.allclose(decoded[name][0], value) for name, value in own.items())
    far = encoding.decode(z[None] + 1e6)  # clipped, as the authors do
    assert all(torch.allclose(far[name][0], value + 10.0) for name, value in own.items())


def test_sums_and_means_are_the_authors() -> None:
    """SM-G-SUM divides by the derivative of the outputs' sum over the batch, SM-G-ABS by the mean of its sizes."""
    jacobian = torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sensitivity(jacobian, "sum"), jacobian.sum(0).square().sum(0).sqrt())
    assert torch.allclose(sensitivity(jacobian, "abs"), jacobian.abs().mean(0).square().sum(0).sqrt())


def test_sensitivity_is_the_size_of_the_outputs_derivative() -> None:
    """The authors' two-weight example, y = (100 w0 x0, 0.1 w1 x1): a thousandfold difference is evened out."""
    x = torch.tensor([[1.0, -2.0], [-1.0, 2.0]])
    jacobian = torch.zeros(2, 2, 2)
    jacobian[:, 0, 0], jacobian[:, 1, 1] = 100 * x[:, 0], 0.1 * x[:, 1]
    assert sensitivity(jacobian, "abs").tolist() == pytest.approx([100.0, 0.2])
    assert sensitivity(jacobian, "sum").tolist() == [1.0, 1.0]  # opposite changes cancel


def test_a_weight_that_nothing_depends_on_is_mutated_as_it_is() -> None:
    assert sensitivity(torch.zeros(3, 2, 4), "abs").tolist() == [1.0] * 4


class Uneven(nn.Module):
    """y = (100 w0 x0, 0.1 w1 x1)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight * x.new_tensor([100.0, 0.1])


def test_safe_mutations_solve_in_fewer_losses_what_plain_ones_do_not() -> None:
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    batch, losses = (x, x * torch.tensor([1.0, 1.0])), {}
    plain = {"name": "genetic_algorithm", "sigma": 0.1}
    for name, settings in {"safe_mutation": {"refreshes": 1, "search": plain}, "genetic_algorithm": plain}.items():
        model = Uneven()
        run_steps(make_strategy(**{"name": name, **settings}), oracle_for(model, forwards=50 * 4000), batch, 10_000)
        losses[name] = float(((model(x) - batch[1]) ** 2).mean().detach())
    assert losses["safe_mutation"] < 0.01 < losses["genetic_algorithm"]


def test_what_works_on_the_parameters_themselves_has_no_mutations() -> None:
    strategy = make_strategy("safe_mutation", search={"name": "forward_gradient"})
    with pytest.raises(ConfigError, match=r"strategy\.search, the strategy ForwardGradient works on the parameters"):
        check_compatible(CrossEntropy(), strategy, None, None)
