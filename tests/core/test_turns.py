"""Phases that take turns: where each goes on, what it is charged, and what is refused."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from small_hybrids import SPEC, B, Jumping, Run, batch_at, es, network, random_search

from hybridopt import Budget, ConfigError, LowRankPopulation, Oracle, SeededPopulation
from hybridopt.core.compatibility import check_compatible
from hybridopt.core.ledger import GRADIENT, Ledger
from hybridopt.encodings.subspace import Subspace
from hybridopt.engine.population import materialize
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.strategies.evolution_strategies.eggroll import Eggroll
from hybridopt.strategies.gradient.torch_optim import adam, sgd
from hybridopt.strategies.hybrid.alternate import Alternate
from hybridopt.strategies.hybrid.sequence import Sequence
from hybridopt.strategies.hybrid.split import Split
from hybridopt.strategies.metaheuristics.genetic_algorithm import GeneticAlgorithm
from hybridopt.strategies.zeroth_order.mezo import Mezo
from hybridopt.triggers.share import Share
from hybridopt.triggers.stalled_sigma import StalledSigma
from hybridopt.triggers.steps import Steps


def turns(first, second, **steps):
    return lambda: Alternate({"a": first(), "b": second()}, {name: Steps(count) for name, count in steps.items()})


# -- where a turn begins ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", [None, lambda: Subspace(5)], ids=["direct", "subspace"])
@pytest.mark.parametrize("other", [lambda: sgd(lr=0.5), Jumping], ids=["descent", "search"])
@pytest.mark.parametrize(
    "search", [Jumping, es, random_search, lambda: GeneticAlgorithm(popsize=4)], ids=["jump", "es", "random", "genetic"]
)
def test_a_phase_that_comes_again_starts_where_the_other_has_left(search, other, encoding):
    """Whatever its state is made of: its recommendation is what the other's was, before it steps again."""
    run = Run(turns(search, other, a=2, b=2), 2000, *([encoding] if encoding else []))
    entered = []
    original = run.strategy._switch

    def watched(name, oracle, batch):
        before = run.answer()
        original(name, oracle, batch)
        entered.append((before, run.answer()))

    run.strategy._switch = watched
    for _ in range(10):
        run.step()
    assert len(entered) == 4
    for before, after in entered[1::2]:  # those of "a"
        expected = before if not isinstance(run.strategy.phases["a"], Jumping) else after
        torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(entered[0][0], entered[1][0])


@pytest.mark.parametrize("make", [lambda: Eggroll(popsize=4), Mezo], ids=["low rank", "seeded"])
def test_a_population_that_is_no_matrix_is_displaced_as_one_that_is(make):
    run = Run(make, 10_000)
    run.step()
    population = run.strategy.ask()
    assert isinstance(population, LowRankPopulation | SeededPopulation)
    offset = torch.randn(run.oracle.dimension, generator=torch.Generator().manual_seed(1))
    displaced, dense = run.oracle.displaced(offset), materialize(population)
    losses = displaced.losses(population, batch_at(0))
    torch.testing.assert_close(losses, run.oracle.losses(dense + offset, batch_at(0)), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(losses, run.oracle.losses(dense, batch_at(0)), rtol=1e-2)


# -- accounts ---------------------------------------------------------------------------------------------------------


def test_a_turn_that_ends_early_leaves_its_budget_to_the_next():
    strategy = Sequence({"a": es(), "b": es(), "c": es()}, {"a": 0.5, "b": 0.2, "c": 0.3}, {"a": Steps(3)})
    run = Run(lambda: strategy, 600)
    run.records()
    assert {name: phase.forwards for name, phase in run.ledger.phases.items()} == {"a": 60, "b": 360, "c": 180}


def test_the_share_of_a_trigger_is_that_of_its_phase():
    run = Run(lambda: Sequence({"a": es(), "b": es()}, until={"a": Share(0.2)}), 1000)
    run.records()
    assert {name: phase.forwards for name, phase in run.ledger.phases.items()} == {"a": 200, "b": 800}


def test_turns_by_shares_are_equal_and_as_many_as_rounds():
    run, paths = Run(lambda: Alternate({"a": es(), "b": es()}, rounds=5), 1000), []
    while not run.ledger.exhausted:
        run.step()
        paths.append(run.ledger.path)
    assert "".join(paths) == 5 * (5 * "a" + 5 * "b")


@pytest.mark.parametrize(
    "strategy",
    [
        turns(es, lambda: adam(lr=0.05), a=2, b=3),
        lambda: Split({"a": es(), "b": adam(lr=0.05)}, {"a": "1.*"}),
        lambda: Sequence({"a": es(), "b": adam(lr=0.05)}, until={"a": Steps(5)}),
    ],
    ids=["alternate", "split", "sequence"],
)
def test_what_phases_are_charged_is_what_passes_through_the_network(strategy):
    model, ledger, passed = network(), Ledger(Budget(forwards=900)), Counter()
    oracle = Oracle(model, CrossEntropy(), ledger, torch.Generator().manual_seed(0), mode="loop")
    made = strategy()
    oracle.losses(oracle.point[None], batch_at(0))  # the network's work is counted at the first, which nobody pays
    model.register_forward_pre_hook(lambda _, given: passed.update({ledger.path: len(given[0])}))
    made.attach(oracle)
    made.begin(oracle, batch_at(0))
    step = 0
    while not ledger.exhausted:
        made.step(oracle, batch_at(step))
        step += 1
    assert {name: phase.forwards for name, phase in ledger.phases.items()} == {
        "a": passed["a"],
        "b": GRADIENT * passed["b"],
    }
    assert sum(phase.forwards for phase in ledger.phases.values()) == ledger.forwards - B
    assert sum(phase.evaluations for phase in ledger.phases.values()) == ledger.evaluations - 1


def test_a_phase_that_waits_is_still_under_way():
    inner = Sequence({"x": es(), "y": es()})
    run = Run(lambda: Alternate({"a": inner, "b": es()}, {"a": Steps(2), "b": Steps(1)}), 1000)
    for _ in range(3):
        run.step()
    assert run.ledger.path == "b"
    assert run.ledger.paths == ["a", "a/x", "b"]


def test_a_sequence_that_takes_turns_goes_through_its_phases_by_the_progress_of_the_whole():
    """Of its own costs it could never spend half of a budget from which another one takes as much."""
    inner = Sequence({"x": Sequence({"deep": es(), "deeper": es()}), "y": es()})
    run = Run(lambda: Alternate({"a": inner, "b": es()}, {"a": Steps(1), "b": Steps(1)}), 2000)
    begun = {}
    while not run.ledger.exhausted:
        run.step()
        begun.setdefault(run.ledger.path, run.ledger.progress)
    assert begun == {
        "a/x/deep": pytest.approx(0.01),
        "b": pytest.approx(0.02),
        "a/x/deeper": pytest.approx(0.27),
        "a/y": pytest.approx(0.51),
    }
    assert run.ledger.phases["a"].forwards == run.ledger.phases["b"].forwards == 1000


# -- split ------------------------------------------------------------------------------------------------------------


def test_the_groups_of_a_split_move_their_own_parameters_alone():
    run = Run(lambda: Split({"a": Jumping(), "b": sgd(lr=0.0)}, {"a": "3.*"}), 100)
    before = {name: value.detach().clone() for name, value in run.model.named_parameters()}
    run.step()
    for name, value in run.model.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] + (1 if name.startswith("3.") else 0))


def test_a_split_by_one_kind_of_descent_is_that_descent():
    whole, parts = (
        Run(lambda: sgd(lr=0.05), 3000),
        Run(lambda: Split({"a": sgd(lr=0.05), "b": sgd(lr=0.05)}, {"a": "1.weight 3.bias"}), 6000),
    )
    whole.step()
    parts.step()
    names = dict(parts.model.named_parameters())
    for name in ("1.weight", "3.bias"):  # the first group steps with all others as they were
        torch.testing.assert_close(names[name], whole.model.get_parameter(name))


# -- refusals ---------------------------------------------------------------------------------------------------------


def pair():
    return {"a": es(), "b": es()}


REFUSED = {
    "one phase": (lambda: Alternate({"a": es()}), r"strategy=alternate needs two phases or more, for example \+"),
    "long turns": (
        lambda: Alternate(pair(), {"a": Share(0.6), "b": Share(0.6)}),
        r"One turn of each phase takes more than the whole budget: lower the shares in strategy\.until\.",
    ),
    "no rounds": (lambda: Alternate(pair(), rounds=0), r"strategy\.rounds must be at least 1, but is 0\."),
    "share twice": (
        lambda: Sequence(pair(), {"a": 0.5}, {"a": Share(0.5)}),
        r"share of the phase a is given twice, by strategy\.shares\.a and by strategy\.until\.a: leave one",
    ),
    "nothing left": (
        lambda: Sequence(pair(), until={"a": Share(1.0)}),
        r"The shares a: 1 leave nothing for b: lower them, or give each phase a share\.",
    ),
    "unknown phase": (
        lambda: Sequence(pair(), until={"serch": Steps(3)}),
        r"strategy\.until names a phase serch that there is not\..*a, b",
    ),
    "unknown phase, by a share": (
        lambda: Sequence(pair(), until={"serch": Share(0.3)}),
        r"strategy\.until names a phase serch that there is not\..*a, b",
    ),
    "no sigma": (
        lambda: Alternate(pair() | {"c": sgd()}, {"c": StalledSigma()}),
        r"strategy\.until\.c: StalledSigma looks at the sigma of its phase, and TorchOptim tells none: choose another",
    ),
    "one group": (lambda: Split({"a": es()}), r"strategy=split needs two groups or more, for example \+"),
    "two without": (lambda: Split(pair()), r"groups a and b have no patterns, .*: set strategy\.patterns\.a\."),
    "no group": (
        lambda: Split(pair(), {"a": "*", "c": "*"}),
        r"strategy\.patterns names c, which is no group: the groups are a, b\.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_does_not_fit_is_refused_when_it_is_built(what):
    make, sentence = REFUSED[what]
    with pytest.raises(ConfigError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("patterns", "sentence"),
    [
        ({"a": "1.*", "b": "3.bias"}, r"parameters 3\.weight match no pattern of strategy\.patterns: widen one, or"),
        ({"a": "1.* 3.*", "b": "*.bias"}, r"parameter 1\.bias matches both strategy\.patterns\.a='1\.\* 3\.\*' and "),
        ({"a": "*", "b": "2.*"}, r"group b has no parameter that matches '2\.\*': the model has 1\.weight, 1\.bias"),
        ({"a": "*"}, r"group b has no parameter, since the others take all: the model has 1\.weight"),
    ],
)
def test_patterns_that_do_not_divide_the_network_are_refused_before_the_first_step(patterns, sentence):
    with pytest.raises(ConfigError, match=sentence):
        Run(lambda: Split(pair(), patterns), 100)


def test_a_split_works_on_the_parameters_themselves():
    with pytest.raises(ConfigError, match="Split works on the parameters themselves"):
        check_compatible(CrossEntropy(), Split(pair(), {"a": "1.*"}), Subspace(5), SPEC)
