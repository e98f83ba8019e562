"""Members that learn before they are judged."""

from __future__ import annotations

import pytest
import torch
from small_problems import begin, linear_problem, make_strategy, oracle_for, run_steps

from hybridopt.errors import ConfigError

TAUGHT = {"steps": 2, "lr": 0.1}


def test_lamarcks_members_are_where_they_have_learned_to_be() -> None:
    """With one generation, the members that are told are those of ask, two steps of descent later."""
    model, batch, _ = linear_problem()
    search = {"name": "cem", "popsize": 6, "elite": 1.0}
    strategy, oracle = make_strategy("memetic", inner=search, **TAUGHT), oracle_for(model)
    begin(strategy, oracle, batch)
    asked = []
    ask = strategy.inner.ask
    strategy.inner.ask = lambda: asked.append(ask()) or asked[-1].clone()
    strategy.step(oracle, batch)
    members = asked[0]
    for _ in range(2):
        members = members - 0.1 * oracle.gradients(members, batch)[1]
    torch.testing.assert_close(strategy.recommend(), members.mean(dim=0))


def test_baldwins_members_stay_and_the_recommendation_learns() -> None:
    model, batch, _ = linear_problem()
    strategy = make_strategy("memetic", inner={"name": "cem"}, inheritance="baldwinian", **TAUGHT)
    oracle = oracle_for(model)
    begin(strategy, oracle, batch)
    strategy.step(oracle, batch)
    inner, outer = strategy.inner.recommend(), strategy.recommend()
    for _ in range(2):
        inner = inner - 0.1 * oracle.gradients(inner[None], batch)[1][0]
    torch.testing.assert_close(outer, inner)


@pytest.mark.parametrize(("inheritance", "more"), [("lamarckian", 0), ("baldwinian", 1)])
def test_each_member_pays_for_its_lessons(inheritance: str, more: int) -> None:
    """Two steps of three forwards and a judgement, a member and sample; with Baldwin also of the recommendation."""
    model, batch, _ = linear_problem(samples=50)
    oracle = oracle_for(model)
    run_steps(
        make_strategy("memetic", inner={"name": "cem", "popsize": 6}, inheritance=inheritance, **TAUGHT),
        oracle,
        batch,
        4,
    )
    assert oracle.ledger.forwards == 4 * 50 * (6 * (2 * 3 + 1) + more * 2 * 3)


def test_learning_finds_the_bottom_of_the_basin_at_equal_cost() -> None:
    search = {"name": "genetic_algorithm", "popsize": 20}
    far = []
    for name, settings in {"memetic": {"inner": search, **TAUGHT}, "genetic_algorithm": {"popsize": 20}}.items():
        model, batch, best = linear_problem()
        run_steps(make_strategy(name, **settings), oracle_for(model, None, 5e5), batch, 1000)
        far.append(torch.dist(model.weight.detach()[0], best))
    assert far[0] < 0.1 * far[1]


def test_what_cannot_be_written_back_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^OpenAIES does not learn from members .*inheritance=baldwinian"):
        make_strategy("memetic", inner={"name": "openai_es"})
