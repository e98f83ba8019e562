"""Gradient methods with a twist: each against its own equations, on problems whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_problems import Point, begin, linear_problem, make_strategy, oracle_for, run_steps
from torch import nn

from hybridopt.core.compatibility import check_compatible
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.zero_one import ZeroOne
from hybridopt.strategies.gradient.cool_momentum import momentum
from hybridopt.strategies.gradient.levenberg_marquardt import System, square_root

ONE = (torch.zeros(1, 1), torch.zeros(1, 1))


# -- CoolMomentum -----------------------------------------------------------------------------------------------------


@given(st.floats(0, 0.999), st.integers(1, 1000), st.data())
def test_momentum_is_the_published_recursion(rho0: float, steps: int, data: st.DataObject) -> None:
    """rho_t = max(0, 1 - (1 - rho0) / alpha^t), where alpha^S = 1 - rho0."""
    t = data.draw(st.integers(0, steps))
    alpha = (1 - rho0) ** (1 / steps)
    published = max(0.0, 1 - (1 - rho0) / alpha**t)
    assert momentum(rho0, t / steps) == pytest.approx(published, abs=1e-9)


def test_cool_momentum_moves_at_its_first_step_and_as_written() -> None:
    model = Point(torch.tensor([[2.0]]))
    oracle, strategy = oracle_for(model, forwards=30), make_strategy("cool_momentum", lr=0.1, rho0=0.9)
    begin(strategy, oracle, (torch.zeros(1, 1), torch.zeros(1, 1)))
    x, v = 2.0, 0.0
    for step in range(10):
        rho = momentum(0.9, (step * 3) / 30)
        strategy.step(oracle, ONE)
        v = rho * v - 0.1 * (1 + rho) / 2 * 2 * x
        x += v
        assert model.weight.detach().item() == pytest.approx(x, rel=1e-5)


# -- Langevin dynamics ------------------------------------------------------------------------------------------------


def test_sgld_draws_from_the_gibbs_distribution() -> None:
    """On (1/n) sum x^2 the stationary variance of each coordinate is T / (2 / n), up to the discretisation."""
    n, lr, temperature = 400, 5.0, 1e-3
    model = Point(torch.zeros(n, 1))
    oracle, strategy = (
        oracle_for(model, forwards=1e9),
        make_strategy("sgld", lr=lr, temperature=temperature, schedule="constant"),
    )
    batch = (torch.zeros(1, 1), torch.zeros(1, n))
    begin(strategy, oracle, batch)
    squares = []
    for step in range(2000):
        strategy.step(oracle, batch)
        if step >= 500:
            squares.append(float(model.weight.detach().square().mean()))
    curvature = 2 / n
    wanted = temperature / curvature / (1 - lr * curvature / 2)  # of the discrete chain
    assert sum(squares) / len(squares) == pytest.approx(wanted, rel=0.05)


def test_sgld_without_heat_is_gradient_descent() -> None:
    ends = []
    for name, settings in {"sgld": {"temperature": 0.0}, "sgd": {"momentum": 0.0}}.items():
        model, batch, _ = linear_problem()
        run_steps(make_strategy(name, lr=0.05, schedule="constant", **settings), oracle_for(model), batch, 30)
        ends.append(model.weight.detach().clone())
    assert torch.equal(*ends)


# -- L-BFGS -----------------------------------------------------------------------------------------------------------


def test_lbfgs_solves_a_stretched_quadratic_in_a_few_steps() -> None:
    torch.manual_seed(0)
    x = torch.randn(200, 10) * torch.logspace(0, 1.5, 10)
    wanted = torch.randn(10, 1)
    model = nn.Linear(10, 1, bias=False)
    run_steps(make_strategy("lbfgs", weight_decay=0.0), oracle_for(model), (x, x @ wanted), 15)
    assert torch.allclose(model.weight.detach()[0], wanted[:, 0], atol=1e-2)


def test_every_gradient_of_a_line_search_is_charged() -> None:
    model, batch, _ = linear_problem()
    oracle, strategy = oracle_for(model), make_strategy("lbfgs")
    passes = []
    model.register_forward_hook(lambda *_: passes.append(1))
    run_steps(strategy, oracle, batch, 3)
    assert len(passes) > 3
    assert oracle.ledger.forwards == 3 * 60 * len(passes)


def test_lbfgs_goes_back_where_a_step_led_nowhere() -> None:
    model = Point(torch.tensor([[1.0]]))
    oracle, strategy = oracle_for(model), make_strategy("lbfgs")
    batch = (torch.zeros(1, 1), torch.tensor([[math.nan]]))
    begin(strategy, oracle, batch)
    strategy.step(oracle, batch)
    assert model.weight.item() == 1.0


# -- Levenberg-Marquardt ----------------------------------------------------------------------------------------------


def test_with_no_damping_a_linear_least_squares_problem_takes_one_step() -> None:
    model, batch, wanted = linear_problem()
    run_steps(make_strategy("levenberg_marquardt", damping=1e-10), oracle_for(model), batch, 1)
    assert torch.allclose(model.weight.detach()[0], wanted, atol=1e-4)


@pytest.mark.parametrize("objective", [CrossEntropy()])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("d", [3, 40])
def test_both_ways_to_solve_give_the_same_step(objective: nn.Module, d: int, scaled: bool) -> None:
    """In d unknowns, or in as many as there are residuals: (A'A + lam D) delta = -g."""
    generator = torch.Generator().manual_seed(0)
    jacobian = torch.randn(4, 3, d, generator=generator, dtype=torch.float64)
    outputs = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    system = System(jacobian, outputs, torch.tensor([0, 1, 2, 1]), objective)
    matrix, g, diagonal = system.a.T @ system.a, system.g, torch.ones(d, dtype=torch.float64)
    if scaled:
        diagonal = system.diagonal
        system.scale_by(diagonal)
    delta, predicted = system.solve(0.1)
    assert torch.allclose((matrix + 0.1 * diagonal.diag()) @ delta, -g, atol=1e-9)
    assert torch.allclose(predicted, -(g @ delta + delta @ matrix @ delta / 2))


def test_on_full_batches_its_damping_goes_by_curvature_and_gain() -> None:
    """A network 1-20-1 on sin(x)/x: by factors, and the same for all parameters, it ends far from there."""
    x = torch.linspace(-10, 10, 100, dtype=torch.float64)[:, None]
    y = torch.sinc(x / math.pi)

    def error(seed: int, **settings: object) -> float:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()
        oracle = oracle_for(model)
        oracle.feed.unchanged = True
        run_steps(make_strategy("levenberg_marquardt", **settings), oracle, (x, y), 100)
        return float((model(x) - y).square().mean().detach())

    usual = np.median([error(seed) for seed in range(3)])
    assert usual < 1e-7
    assert np.median([error(seed, scaling="identity", rule="factor") for seed in range(3)]) > 20 * usual


def test_on_full_batches_an_accepted_point_is_not_asked_for_again() -> None:
    model, batch, _ = linear_problem()
    oracle = oracle_for(model)
    oracle.feed.unchanged = True
    strategy = begin(make_strategy("levenberg_marquardt"), oracle, batch)
    asked = []
    for _ in range(3):
        before = oracle.ledger.evaluations
        strategy.step(oracle, batch)
        asked.append(oracle.ledger.evaluations - before)
    assert asked == [3, 2, 2]  # where it stands, at first; a Jacobian; a candidate


def test_its_matrix_is_the_gauss_newton_matrix_of_the_mean_loss() -> None:
    """For outputs that are linear in the parameters it is the Hessian itself."""
    torch.manual_seed(0)
    jacobian = torch.randn(5, 3, 4, dtype=torch.float64)
    theta = torch.randn(4, dtype=torch.float64)
    targets = torch.tensor([0, 2, 1, 1, 0])
    objective = CrossEntropy()

    def loss(parameters: torch.Tensor) -> torch.Tensor:
        return objective.loss(jacobian @ parameters, targets)

    system = System(jacobian, jacobian @ theta, targets, objective)
    assert torch.allclose(system.a.T @ system.a, torch.func.hessian(loss)(theta), atol=1e-9)
    assert torch.allclose(system.g, torch.func.grad(loss)(theta), atol=1e-9)


@given(st.integers(0, 2**31))
def test_a_root_is_a_root(seed: int) -> None:
    a = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    matrix = a @ a.mT
    root = square_root(matrix)
    assert torch.allclose(root @ root.mT, matrix, atol=1e-9)


def test_levenberg_marquardt_fits_a_sinc_where_adam_does_not() -> None:
    """The study least_squares asks it of 8 in 10 seeds; here of two, at equal forwards."""
    x = torch.linspace(-10, 10, 200, dtype=torch.float64)[:, None]
    batch = (x, torch.sinc(x / math.pi))
    for seed in range(2):
        errors = {}
        for name, settings in {"levenberg_marquardt": {}, "adam": {"lr": 0.01}}.items():
            torch.manual_seed(seed)
            model = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1)).double()
            run_steps(make_strategy(name, **settings), oracle_for(model, forwards=200 * 1000), batch, 10_000)
            errors[name] = ((model(x) - batch[1]) ** 2).mean().item()
        assert errors["levenberg_marquardt"] < 1e-4 < errors["adam"]


def test_too_large_a_system_is_refused() -> None:
    model = nn.Linear(4000, 2)
    with pytest.raises(ConfigError, match="would solve 6000 equations per step, more than 5000: take a smaller"):
        run_steps(
            make_strategy("levenberg_marquardt"), oracle_for(model), (torch.randn(3000, 4000), torch.randn(3000, 2)), 1
        )


def test_a_loss_without_a_derivative_is_refused_by_levenberg_marquardt() -> None:
    with pytest.raises(ConfigError, match="needs the derivative of the loss by the outputs, and the objective ZeroOne"):
        check_compatible(ZeroOne(), make_strategy("levenberg_marquardt"), None, None)


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("cool_momentum", {"rho0": 1.0}, "strategy.rho0 must lie in [0, 1), but is 1."),
        ("sgld", {"temperature": -1.0}, "strategy.temperature must be at least 0, but is -1."),
        ("lbfgs", {"history": 0}, "strategy.history must be at least 1, but is 0."),
        ("adam", {"lr": -1.0}, "strategy.lr must be at least 0, but is -1."),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_strategy(name, **settings)
    assert str(caught.value) == sentence
