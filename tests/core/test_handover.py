"""What passes from phase to phase, and that it can be switched off."""

from __future__ import annotations

import logging
from itertools import pairwise

import pytest
import torch
from small_problems import begin, linear_problem, make_strategy, oracle_for
from torch import Tensor

from hybridopt.core.hybrid import Hybrid
from hybridopt.core.oracle import Oracle
from hybridopt.errors import ConfigError


def switched(first: dict, second: dict, **settings: object) -> tuple[Hybrid, Oracle]:
    """A sequence just after the first step of its second phase."""
    model, batch, _ = linear_problem()
    strategy, oracle = (
        make_strategy("sequence", phases={"a": first, "b": second}, **settings),
        oracle_for(model, None, 6e4),
    )
    begin(strategy, oracle, batch)
    while strategy.current == "a":
        strategy.step(oracle, batch)
    return strategy, oracle


def moments(strategy: Hybrid) -> Tensor:
    (state,) = strategy.phases["b"].optimizer.state.values()
    return state["exp_avg_sq"].flatten()


def test_adam_begins_with_second_moments_of_a_searchs_widths() -> None:
    """What it has after one step, less what that step has put there, goes as 1 / width^2."""
    strategy, _ = switched({"name": "snes"}, {"name": "adam", "weight_decay": 0.0})
    (state,) = strategy.phases["b"].optimizer.state.values()
    (weight,) = strategy.phases["b"].optimizer.param_groups[0]["params"]
    widths, v = strategy.phases["a"].widths, moments(strategy) - 0.001 * weight.grad.flatten() ** 2
    torch.testing.assert_close((v / v[0]).sqrt(), widths[0] / widths, rtol=1e-2, atol=0)
    assert float(state["step"]) == 11  # a guess that counts as ten steps


def test_and_without_a_handover_with_none() -> None:
    strategy, _ = switched({"name": "snes"}, {"name": "adam"}, handover=False)
    (state,) = strategy.phases["b"].optimizer.state.values()
    assert float(state["step"]) == 1


def test_adams_first_warm_step_is_that_of_a_run_that_has_long_begun() -> None:
    """With second moments v and the first gradient g, its step is lr g / sqrt(v), v itself moved by a thousandth."""
    model, batch, _ = linear_problem()
    first, second = {"name": "cem"}, {"name": "adam", "lr": 0.01, "weight_decay": 0.0, "schedule": "constant"}
    strategy, oracle = make_strategy("sequence", phases={"a": first, "b": second}), oracle_for(model, None, 6e4)
    begin(strategy, oracle, batch)
    while strategy.next() == "a":
        strategy.step(oracle, batch)
    place = strategy.recommend().clone()
    strategy.step(oracle, batch)
    (state,) = strategy.phases["b"].optimizer.state.values()
    (weight,) = model.parameters()
    step, bias = weight.detach().flatten() - place, 1 - 0.999 ** float(state["step"])
    slope = state["exp_avg"].flatten() / (1 - 0.9 ** float(state["step"]))
    torch.testing.assert_close(step, -0.01 * slope / (moments(strategy) / bias).sqrt(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("search", ["snes", "cem", "sep_cma_es"])
def test_a_search_begins_with_widths_of_adams_second_moments(search: str) -> None:
    strategy, _ = switched({"name": "adam"}, {"name": search, "sigma": 0.02})
    plain, _ = switched({"name": "adam"}, {"name": search, "sigma": 0.02}, handover=False)
    v = strategy.phases["a"].handover().second_moments
    here, there = (one.phases["b"].handover().sigma for one in (strategy, plain))
    wide = (v.log().mean() - v.log()).argmax()  # where the loss is flattest
    assert (here / there).argmax() == wide


def test_widths_pass_from_search_to_search_as_they_are() -> None:
    strategy, _ = switched({"name": "snes"}, {"name": "lm_ma_es"})
    assert "sigma" not in strategy.phases["b"].takes
    strategy, _ = switched({"name": "snes", "sigma": 0.3}, {"name": "cem", "smoothing": 0.999, "sigma": 5.0})
    torch.testing.assert_close(strategy.phases["b"].widths, strategy.phases["a"].widths, rtol=0.05, atol=0)


@pytest.mark.parametrize("giver", ["genetic_algorithm", "particle_swarm", "differential_evolution"])
@pytest.mark.parametrize("taker", ["genetic_algorithm", "particle_swarm", "differential_evolution"])
def test_a_population_is_where_the_next_one_starts(giver: str, taker: str) -> None:
    model, batch, _ = linear_problem()
    phases = {"a": {"name": giver, "popsize": 20}, "b": {"name": taker, "popsize": 8}}
    strategy, oracle = make_strategy("sequence", phases=phases), oracle_for(model, None, 6e4)
    begin(strategy, oracle, batch)
    while strategy.next() == "a":
        strategy.step(oracle, batch)
    given, best = strategy.phases["a"].handover().population, strategy.recommend()
    started: list[Tensor] = []
    search = strategy.phases["b"]
    ask = search.ask
    search.ask = lambda: started.append(ask()) or started[-1]  # its first generation
    strategy.step(oracle, batch)
    assert torch.equal(started[0][1:8], given[:7])
    torch.testing.assert_close(started[0][0], best)


def test_the_first_step_is_as_long_as_those_before_where_nothing_says_how_long() -> None:
    model, batch, _ = linear_problem()
    phases = {"a": {"name": "snes"}, "b": {"name": "adam", "lr": None, "schedule": "constant"}}
    strategy, oracle = make_strategy("sequence", phases=phases), oracle_for(model, None, 6e4)
    begin(strategy, oracle, batch)
    places = [strategy.recommend().clone()]
    while strategy.next() == "a":
        strategy.step(oracle, batch)
        places.append(strategy.recommend().clone())
    squares = [float(torch.dist(*pair)) ** 2 for pair in pairwise(places)]
    mean = squares[0]
    for square in squares[1:]:
        mean = 0.9 * mean + 0.1 * square
    record = strategy.step(oracle, batch)
    assert record["lr"] == pytest.approx((mean / 3) ** 0.5, rel=1e-4)


def test_steps_without_a_length_are_asked_for() -> None:
    model, batch, _ = linear_problem()
    with pytest.raises(ConfigError, match=r"^strategy\.lr=null takes the length of the steps of the phase before"):
        begin(make_strategy("adam", lr=None), oracle_for(model), batch)
    with pytest.raises(ConfigError, match=r"set strategy\.lr to a number"):
        switched({"name": "snes"}, {"name": "adam", "lr": None}, handover=False)


def test_a_chain_that_passes_nothing_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        switched({"name": "random_search"}, {"name": "sgd"})
        switched({"name": "snes"}, {"name": "adam"})
    assert caplog.messages == ["From a to b only the weights pass: a gives nothing else, b takes nothing else."]
