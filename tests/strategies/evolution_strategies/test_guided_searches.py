"""Evolution strategies that know more than losses: subspaces, surrogates, behaviours; and a gradient that plays one."""

from __future__ import annotations

import math

import pytest
import torch
from small_problems import Point, begin, make_strategy, oracle_for, run_steps
from torch import Tensor

from hybridopt.errors import ConfigError
from hybridopt.objectives.mse import MeanSquaredError
from hybridopt.objectives.zero_one import ZeroOne
from hybridopt.strategies.evolution_strategies.asebo import principal_directions
from hybridopt.strategies.evolution_strategies.guided_es import GuidedES, orthonormal

# -- the gradient with noise ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pairs", [4, 64, 1024])
def test_the_proxy_is_as_well_aligned_as_a_population(pairs: int) -> None:
    """cos = sqrt(n / (n + d))."""
    d = 2000
    model = Point(torch.ones(d, 1))
    oracle, proxy = oracle_for(model), make_strategy("sgd_proxy", pairs=pairs)
    batch = (torch.zeros(1, 1), torch.zeros(1, d))
    begin(proxy, oracle, batch)
    oracle.gradient(batch)
    true = model.weight.grad.clone()
    cosines = []
    for _ in range(100):
        model.weight.grad.copy_(true)
        proxy.adjust(oracle, 0.0)
        cosines.append(float(torch.cosine_similarity(model.weight.grad.flatten(), true.flatten(), dim=0)))
    assert sum(cosines) / len(cosines) == pytest.approx(math.sqrt(pairs / (pairs + d)), rel=0.15)


# -- guided evolution strategies --------------------------------------------------------------------------------------


class Biased(MeanSquaredError):
    """A loss whose gradient is wrong: a constant vector is added to it, as large as the gradient itself at first.

    Args:
        bias: the vector (d,).
    """

    def __init__(self, bias: Tensor):
        super().__init__()
        self.bias = bias

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return super().loss(outputs, targets) + (outputs[0] * self.bias).sum()


def test_guided_es_goes_below_where_the_biased_gradient_ends() -> None:
    d = 100
    torch.manual_seed(0)
    bias = torch.randn(d)
    bias *= (2 / d) * 1.0 / bias.norm()  # as far from the minimum as the unit vector
    batch = (torch.zeros(1, 1), torch.zeros(1, d))
    start = torch.randn(d, 1)
    plateau = float((d / 2 * bias).square().mean())  # where the biased gradient is zero
    guided = GuidedES(Biased(bias), pairs=10, sigma=0.1, directions=1, lr=5.0, descent="sgd", final_lr=0.02)
    model = Point(start / start.norm())
    oracle = oracle_for(model, forwards=40_000)
    run_steps(guided, oracle, batch, 10_000)
    assert float(model.weight.detach().square().mean()) < 0.5 * plateau


def test_without_guides_its_estimate_is_that_of_a_plain_evolution_strategy() -> None:
    """alpha = 1 samples all directions alike; on a linear loss the estimate is unbiased, up to beta / d."""
    d = 10
    strategy = make_strategy("guided_es", alpha=1.0, pairs=20_000, beta=1.0, sigma=0.1, surrogate={"name": "mse"})
    oracle = oracle_for(Point(torch.zeros(d, 1)))
    begin(strategy, oracle, (torch.zeros(1, 1), torch.zeros(1, d)))
    epsilon = strategy._perturbations(oracle)
    slope = torch.arange(1.0, d + 1)
    losses = torch.cat([epsilon @ slope, -epsilon @ slope])
    assert torch.allclose(d * strategy.estimate(epsilon, losses), slope, atol=0.25)


def test_a_surrogate_lends_the_zero_one_loss_its_gradient() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 5)
    batch = (x, (x[:, 0] > x[:, 1]).long())
    accuracy = {}
    for alpha in (0.5, 1.0):
        torch.manual_seed(1)
        model = torch.nn.Linear(5, 2)
        run_steps(
            make_strategy("guided_es", alpha=alpha, lr=0.05), oracle_for(model, ZeroOne(), forwards=60_000), batch, 1000
        )
        accuracy[alpha] = float((model(x).argmax(1) == batch[1]).float().mean())
    assert accuracy[0.5] > max(0.9, accuracy[1.0])


def test_a_surrogate_without_gradient_or_of_another_task_is_refused() -> None:
    with pytest.raises(ConfigError, match="The surrogate ZeroOne has no gradient to guide by"):
        make_strategy("guided_es", surrogate={"name": "zero_one"})
    with pytest.raises(ConfigError, match="CrossEntropy is made for classification, and the objective MeanSquaredErr"):
        make_strategy("guided_es", surrogate={"name": "cross_entropy"}).attach(oracle_for(Point(torch.ones(2, 1))))


def test_a_basis_leaves_out_what_is_zero() -> None:
    basis = orthonormal(torch.tensor([[0.0, 0.0, 0.0], [0.0, 3.0, 4.0]]))
    assert basis.shape == (3, 1)
    assert torch.allclose(basis.abs()[:, 0], torch.tensor([0.0, 0.6, 0.8]))


# -- active subspaces -------------------------------------------------------------------------------------------------


def test_the_subspace_of_the_estimates_is_found() -> None:
    torch.manual_seed(0)
    basis = torch.linalg.qr(torch.randn(50, 3)).Q
    found, others = principal_directions(torch.randn(20, 3) @ basis.T, 0.995)
    assert (found.shape, others.shape) == ((50, 3), (50, 17))
    assert torch.allclose(found @ (found.T @ basis), basis, atol=1e-4)
    assert torch.allclose(others.T @ found, torch.zeros(17, 3), atol=1e-4)


def test_asebo_needs_fewer_losses_where_the_loss_lives_in_a_few_directions() -> None:
    """Three of 200: at least three times fewer than the same strategy that never looks for them."""
    needed = {}
    for warmup in (5, 10_000):
        torch.manual_seed(0)
        basis = torch.linalg.qr(torch.randn(200, 3)).Q
        search = make_strategy("asebo", warmup=warmup, pairs=50, fewest=3, lr=0.05, schedule="constant")
        search.generator = torch.Generator().manual_seed(0)
        search.start(basis.sum(1) * 20)
        asked = 0
        for _ in range(3000):
            population = search.ask()
            search.tell(population, ((population @ basis) ** 2).sum(1))
            asked += len(population)
            if float(((search.recommend() @ basis) ** 2).sum()) < 0.05:
                break
        needed[warmup] = asked
    assert needed[5] * 3 <= needed[10_000]


# -- novelty ----------------------------------------------------------------------------------------------------------

FAR = 6.0


def trap(outputs: Tensor) -> Tensor:
    """A point in the plane is drawn to a wall at x = 1 that it must walk around: lower further on, higher beside."""
    x, y = outputs[..., 0], outputs[..., 1]
    behind = (y.abs() < FAR) & (x > 1)
    return torch.where(behind, torch.full_like(x, 10.0), (x - 4).abs() + 0.0 * y)


class Trap(MeanSquaredError):
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return trap(outputs).mean()


def escapes(name: str, seed: int) -> bool:
    model = Point(torch.zeros(2, 1))
    strategy = make_strategy(name, popsize=20, sigma=0.1, lr=0.1)
    run_steps(
        strategy, oracle_for(model, Trap(), forwards=20_000, seed=seed), (torch.zeros(1, 1), torch.zeros(1, 2)), 10_000
    )
    return float(trap(model.weight.detach().flatten())) < 1.0


def test_novelty_and_reward_walk_around_a_wall_where_reward_alone_stays() -> None:
    assert sum(escapes("nsr_es", seed) for seed in range(3)) >= 2
    assert sum(escapes("openai_es", seed) for seed in range(3)) == 0


def test_the_archive_forgets_the_oldest() -> None:
    model = Point(torch.zeros(2, 1))
    strategy = run_steps(
        make_strategy("ns_es", popsize=4, archive=5), oracle_for(model), (torch.zeros(1, 1), torch.zeros(1, 2)), 20
    )
    assert strategy.seen.shape == (5, 2)


def test_it_turns_to_novelty_when_stuck_and_back_after_a_new_best() -> None:
    strategy = make_strategy("nsra_es")
    oracle = oracle_for(Point(torch.zeros(2, 1)))
    batch = (torch.zeros(1, 1), torch.zeros(1, 2))
    begin(strategy, oracle, batch)
    strategy._adapt_weight(-0.05)
    assert float(strategy.weight) == pytest.approx(0.95)
    strategy._adapt_weight(0.5)
    assert float(strategy.weight) == 1.0
    fixed = make_strategy("nsr_es")
    begin(fixed, oracle, batch)
    fixed._adapt_weight(-0.05)
    assert float(fixed.weight) == 0.5
