"""Hybrids: shares are kept, phases hand on what they found, tickets stay sparse, and a resumed run is the same run."""

from math import isnan

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_hybrids import (
    SPEC,
    B,
    Jumping,
    Run,
    assert_same_state,
    batch_at,
    es,
    network,
    parameters_of,
    random_search,
)
from torch import nn

from hybridopt.composition import building, registry
from hybridopt.core.compatibility import check_compatible
from hybridopt.core.encoding import Direct, SparseEncoding
from hybridopt.core.handover import Handover
from hybridopt.core.strategy import Strategy
from hybridopt.encodings.subspace import Subspace
from hybridopt.encodings.supermask import Supermask
from hybridopt.engine.parameters import ParameterLayout
from hybridopt.errors import ConfigError
from hybridopt.objectives.cross_entropy import CrossEntropy
from hybridopt.objectives.zero_one import ZeroOne
from hybridopt.strategies.evolution_strategies.guided_es import GuidedES
from hybridopt.strategies.gradient.torch_optim import TorchOptim, adam, sgd
from hybridopt.strategies.hybrid.alternate import Alternate
from hybridopt.strategies.hybrid.best_so_far import BestSoFar
from hybridopt.strategies.hybrid.ema import EMA
from hybridopt.strategies.hybrid.lottery_ticket import LotteryTicket
from hybridopt.strategies.hybrid.safe_mutation import SafeMutation
from hybridopt.strategies.hybrid.sequence import Sequence
from hybridopt.strategies.hybrid.split import Split
from hybridopt.strategies.metaheuristics.genetic_algorithm import GeneticAlgorithm
from hybridopt.strategies.tickets.edge_popup import EdgePopup
from hybridopt.strategies.tickets.iterative_magnitude_pruning import IterativeMagnitudePruning
from hybridopt.strategies.zeroth_order.forward_gradient import ForwardGradient
from hybridopt.testing.phases import Contracting
from hybridopt.testing.plugins import filled
from hybridopt.triggers.plateau import Plateau
from hybridopt.triggers.share import Share
from hybridopt.triggers.snr import SNR
from hybridopt.triggers.stalled_sigma import StalledSigma
from hybridopt.triggers.steps import Steps

# -- strategies to compose --------------------------------------------------------------------------------------------


def sequence(**shares):
    return lambda: Sequence({"search": es(), "descend": adam(lr=0.05)}, shares)


def search_after_descent():
    return Sequence({"descend": sgd(lr=0.05), "search": random_search(), "end": es()})


def nested():
    inner = Sequence({"a": es(), "b": sgd(lr=0.05)}, {"a": 0.5, "b": 0.5})
    return Sequence({"first": inner, "last": random_search()}, {"first": 0.6, "last": 0.4})


def ticket(search=es, finetune=lambda: adam(lr=0.05, weight_decay=0.1), sparsity=0.5, search_share=0.4):
    return lambda: LotteryTicket(search(), finetune(), Supermask(sparsity, scale=1.0), search_share)


def ticket_of_tickets():
    return LotteryTicket(random_search(), ticket(sparsity=0.3)(), Supermask(0.5), 0.3)


def ending_in_a_search():
    inner = Sequence({"a": sgd(lr=0.05), "b": es()})
    return Sequence({"first": inner, "second": random_search(), "third": sgd(lr=0.05)})


def pruning(train=lambda: adam(lr=0.05)):
    return IterativeMagnitudePruning(train(), rounds=3, sparsity=0.6)


def guided():
    return GuidedES(CrossEntropy(), pairs=2, lr=0.05)


def safe():
    return SafeMutation(es(), refreshes=2)


def alternating():
    return Alternate({"search": es(), "descend": adam(lr=0.05)}, {"search": Steps(2), "descend": Steps(2)})


def until(**triggers):
    """A search that a trigger ends, a descent that another one may, and a search to the end."""
    phases = {"search": Contracting(frozenset({"sigma"})), "descend": adam(lr=0.05), "end": es()}
    return Sequence(phases, until=triggers)


def three(encoded=False):
    """A hybrid, a search with a population, and one that wanders through both kinds of recommendation."""
    a = Sequence({"descend": sgd(lr=0.05), "search": es()})
    c = sgd(lr=0.05) if encoded else ticket()()
    turns = {name: Steps(2) for name in "abc"}
    return Alternate({"a": a, "b": GeneticAlgorithm(popsize=4), "c": c}, turns)


def split():
    return Split({"first": es(), "last": adam(lr=0.05), "rest": random_search()}, {"first": "1.weight", "last": "3.*"})


def around_turns():
    inner = {"a": EMA(sgd(lr=0.05)), "b": BestSoFar(random_search(), 2)}
    return BestSoFar(Alternate(inner, {"a": Steps(3), "b": Steps(2)}), 2)


class Limited(Jumping):
    """Has finished after three steps, and hands its width over."""

    hands_over = frozenset({"sigma"})

    def tell(self, population, losses):
        self.told += 1

    def finished(self):
        return int(self.told) >= 3

    def handover(self):
        return Handover(sigma=torch.full_like(self.x, 0.25))


def ending_early():
    return Sequence({"a": Limited(), "b": Limited(), "c": es()}, {"a": 0.5, "b": 0.4, "c": 0.1})


class Restart(Strategy):
    """Gives the model random parameters when its turn comes, and descends from there."""

    requires = frozenset({"gradient"})

    def __init__(self):
        super().__init__()
        self.descent = sgd(lr=0.05, momentum=0.0)

    def attach(self, oracle):
        self.descent.attach(oracle)

    def begin(self, oracle, batch):
        oracle.assign(torch.randn(oracle.dimension, generator=oracle.generator))
        self.descent.begin(oracle, batch)

    def step(self, oracle, batch):
        return self.descent.step(oracle, batch)

    def optimizers(self):
        return self.descent.optimizers()


def restart():
    return Sequence({"search": random_search(), "restart": Restart()})


def momentum():
    return TorchOptim("SGD", 0.05, settings={"momentum": 0.9, "weight_decay": 0.1})


COMPOSED = {
    "search, then descent": (sequence(), Direct),
    "descent, then searches": (search_after_descent, Direct),
    "in a subspace": (search_after_descent, lambda: Subspace(5)),
    "restart": (restart, Direct),
    "nested": (nested, Direct),
    "nested, ending in a search": (ending_in_a_search, Direct),
    "nested in a subspace": (nested, lambda: Subspace(5)),
    "ticket": (ticket(), Direct),
    "ticket, random search": (ticket(random_search, momentum), Direct),
    "ticket, search after": (ticket(random_search, es), Direct),
    "ticket by pruning": (ticket(pruning), Direct),
    "ticket by edge-popup": (ticket(EdgePopup), Direct),
    "best so far in a sequence": (lambda: Sequence({"a": BestSoFar(random_search(), 2), "b": EMA(sgd())}), Direct),
    "average in a subspace": (lambda: Sequence({"a": EMA(sgd()), "b": es()}), lambda: Subspace(5)),
    "alternating": (alternating, Direct),
    "alternating in a subspace": (alternating, lambda: Subspace(5)),
    "alternating by shares": (lambda: Alternate({"a": adam(lr=0.05), "b": es()}, rounds=4), Direct),
    "alternating by shares in a subspace": (lambda: Alternate({"a": es(), "b": sgd()}, rounds=4), lambda: Subspace(5)),
    "three in turn": (three, Direct),
    "three in turn in a subspace": (lambda: three(encoded=True), lambda: Subspace(5)),
    "turns of turns": (lambda: Alternate({"a": alternating(), "b": random_search()}, {"b": Steps(1)}, 5), Direct),
    "turns in a sequence": (lambda: Sequence({"a": alternating(), "b": random_search()}), Direct),
    "turns, wrapped": (around_turns, Direct),
    "average of turns": (lambda: EMA(alternating()), Direct),
    "until share": (lambda: until(search=Share(0.2)), Direct),
    "until steps": (lambda: until(search=Steps(4), descend=Steps(5)), Direct),
    "until plateau": (lambda: until(search=Plateau(3, smoothing=0.5), descend=Plateau(3, 0.2)), Direct),
    "until snr": (lambda: until(search=SNR(10, ratio=9.0), descend=SNR(10, ratio=100.0)), Direct),
    "until stalled sigma": (lambda: until(search=StalledSigma(0.9)), Direct),
    "until steps in a subspace": (lambda: until(search=Steps(4), descend=SNR(10)), lambda: Subspace(5)),
    "split": (split, Direct),
    "split in a sequence": (lambda: Sequence({"a": es(), "b": split(), "c": sgd(lr=0.05)}), Direct),
    "split in turns": (lambda: Alternate({"a": split(), "b": es()}, {"a": Steps(2), "b": Steps(2)}), Direct),
    "turns in a split": (lambda: Split({"a": alternating(), "b": sgd(lr=0.05)}, {"a": "1.*"}), Direct),
    "ending early": (ending_early, Direct),
    "ticket of tickets": (ticket_of_tickets, Direct),
    "ticket in a sequence": (lambda: Sequence({"descend": sgd(), "ticket": ticket()()}), Direct),
    "ticket, then descent": (lambda: Sequence({"ticket": ticket()(), "descend": sgd(lr=0.05)}), Direct),
    "pruning, then descent": (lambda: Sequence({"prune": pruning(), "descend": sgd(lr=0.05)}), Direct),
    "pruning by sequences": (lambda: pruning(sequence()), Direct),
    "pruning by tickets": (lambda: pruning(ticket()), Direct),
    "pruning by guided_es": (lambda: pruning(guided), Direct),
    "pruning by safe mutation": (lambda: pruning(safe), Direct),
    "pruning by edge-popup": (lambda: pruning(EdgePopup), Direct),
}


def composed(name):
    strategy, encoding = COMPOSED[name]
    return Run(strategy, 1200 if "split" in name else 600, encoding)  # all groups of a split take part in a step


# -- shares -----------------------------------------------------------------------------------------------------------


def test_each_phase_spends_its_share():
    """Steps cost 20 and 15 forwards, so that the shares of 600 are met exactly."""
    run = Run(sequence(search=0.2, descend=0.8), 600)
    run.records()
    assert {name: phase.forwards for name, phase in run.ledger.phases.items()} == {"search": 120, "descend": 480}
    assert {name: phase.evaluations for name, phase in run.ledger.phases.items()} == {"search": 24, "descend": 32}
    assert (run.ledger.forwards, run.ledger.evaluations) == (600, 56)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(0.05, 1.0), min_size=1, max_size=4), st.integers(100, 400))
def test_phases_end_at_the_first_step_beyond_their_shares(weights, forwards):
    shares = {f"phase {index}": weight / sum(weights) for index, weight in enumerate(weights)}
    run = Run(lambda: Sequence({name: random_search() for name in shares}, shares), forwards)
    run.records()
    end, spent = 0.0, 0
    for name in run.ledger.phases:  # all, unless an overshoot left nothing for the last
        before, end = spent, end + shares[name] * forwards
        spent += run.ledger.phases[name].forwards
        assert spent > end - 1e-3
        assert spent < max(end, before) + 4 * B + 1e-3
    assert spent == run.ledger.forwards >= forwards
    assert list(run.ledger.phases) == list(shares)[: len(run.ledger.phases)]


def test_shares_are_equal_where_none_are_given():
    run = Run(search_after_descent, 900)
    run.records()
    assert [phase.forwards for phase in run.ledger.phases.values()] == [300, 300, 300]


def test_phases_follow_each_other_and_the_last_one_goes_on():
    run, paths = Run(nested, 600), []
    while not run.ledger.exhausted:
        run.step()
        paths.append(run.ledger.path)
    assert list(dict.fromkeys(paths)) == ["first/a", "first/b", "last"]
    assert paths == sorted(paths)
    spent = run.ledger.phases["first"]
    assert spent.forwards == sum(phase.forwards for phase in spent.phases.values()) == 360
    assert run.ledger.forwards == 600


def test_the_last_phase_takes_what_is_left_beyond_its_share():
    run = Run(sequence(search=0.5, descend=0.5), 100)
    run.records()
    for _ in range(3):  # a Trial may be asked for more than its budget
        run.step()
    assert run.ledger.path == "descend"


# -- what phases require ----------------------------------------------------------------------------------------------


def refusal(strategy, encoding=None, objective=None):
    with pytest.raises(ConfigError) as caught:
        check_compatible(objective or CrossEntropy(), strategy, encoding, SPEC)
    return str(caught.value)


@pytest.mark.parametrize("name", COMPOSED)
def test_what_runs_here_is_compatible(name):
    strategy, encoding = COMPOSED[name]
    check_compatible(CrossEntropy(), strategy(), encoding(), SPEC)


def test_a_phase_that_cannot_work_in_the_encoding_is_refused_by_its_place():
    last = Sequence({"a": es(), "b": ForwardGradient()})
    strategy = Sequence({"first": es(), "last": last})
    assert refusal(strategy, Subspace(5)).startswith(
        "strategy.phases.last.phases.b, the strategy ForwardGradient works on the parameters themselves"
    )
    check_compatible(CrossEntropy(), strategy, None, SPEC)


def test_a_phase_that_needs_a_gradient_is_refused_an_objective_without_one():
    assert refusal(sequence()(), objective=ZeroOne()).startswith(
        "strategy.phases.descend, the strategy Adam needs a gradient and the objective ZeroOne has none"
    )


def test_a_ticket_is_refused_an_encoding_of_its_own_weights():
    assert "LotteryTicket works on the parameters themselves" in refusal(ticket()(), Subspace(5))


# -- what is handed on ------------------------------------------------------------------------------------------------


class Note(Strategy):
    """Notes the parameters that it meets."""

    requires = frozenset({"gradient"})

    def begin(self, oracle, batch):
        self.met = parameters_of(oracle.model)

    def step(self, oracle, batch):
        return {"loss": oracle.gradient(batch)}


def test_each_phase_starts_from_what_the_one_before_recommended():
    run = Run(lambda: Sequence({"a": Jumping(), "b": Jumping(), "c": Note()}), 300)
    origin = parameters_of(run.model)
    run.records()
    phases = run.strategy.phases
    assert torch.equal(phases["a"].x, origin)
    assert torch.equal(phases["b"].x, origin + 1)
    assert torch.equal(phases["c"].met, origin + 1 + 1)
    assert torch.equal(parameters_of(run.model), origin + 1 + 1)


def test_a_sequence_in_a_subspace_stays_in_it_and_hands_its_vector_on():
    run = Run(lambda: Sequence({"a": TorchOptim("SGD", 0.5), "b": Jumping()}), 300, lambda: Subspace(5))
    origin = parameters_of(run.model)
    while run.ledger.path != "b":
        before = run.strategy.recommend()  # at last, where descent has ended
        run.step()
    assert torch.equal(run.oracle.encoding.origin, origin)
    assert torch.equal(run.strategy.phases["b"].x, before)
    assert before.shape == (5,)
    assert before.abs().max() > 0
    projection = run.oracle.encoding.projection
    assert torch.allclose(run.answer(), origin + (before + 1) @ projection, atol=1e-6)


def test_a_phase_that_has_finished_leaves_its_budget_to_the_next():
    run = Run(ending_early, 600)
    run.records()
    spent = {name: phase.forwards for name, phase in run.ledger.phases.items()}
    assert (spent["a"], spent["b"]) == (30, 30)
    assert spent["c"] >= 540  # with what the last generation takes beyond it


def test_a_hybrid_whose_last_phase_has_finished_has_finished():
    run = Run(lambda: Sequence({"a": es(), "b": Limited()}), 600)
    while not run.strategy.finished():
        run.step()
    assert run.ledger.path == "b"
    assert run.ledger.phases["b"].forwards == 30


def test_what_a_phase_hands_over_reaches_the_next_one_alone():
    run = Run(ending_early, 600)
    run.records()
    phases = run.strategy.phases
    assert phases["a"].width is None
    assert torch.equal(phases["b"].width, torch.full_like(phases["b"].x, 0.25))


def test_what_is_handed_over_passes_through_nested_hybrids():
    inner = Sequence({"b": Limited(), "c": Limited()})
    run = Run(lambda: Sequence({"a": Limited(), "inner": inner, "d": Jumping()}), 600)
    run.records()
    quarter = torch.full_like(run.strategy.phases["d"].x, 0.25)
    for phase in (inner.phases["b"], inner.phases["c"], run.strategy.phases["d"]):
        assert torch.equal(phase.width, quarter)


def test_what_is_handed_over_is_in_the_coordinates_of_who_receives_it():
    run = Run(lambda: Sequence({"a": Limited(), "b": LotteryTicket(Jumping(), sgd(), Supermask(0.5))}), 300)
    run.records()
    assert run.strategy.phases["b"].phases["search"].width is None


@pytest.mark.parametrize("wrap", [EMA, lambda inner: BestSoFar(inner, 2)], ids=["ema", "best_so_far"])
@pytest.mark.parametrize("sparse", [ticket(), pruning, EdgePopup], ids=["ticket", "pruning", "edge-popup"])
def test_what_wraps_a_sparse_network_recommends_one_as_sparse(wrap, sparse):
    plain, wrapped = Run(sparse, 900), Run(lambda: wrap(sparse()), 900)
    for run in (plain, wrapped):
        run.records()
    assert (wrapped.answer() == 0).sum() >= (plain.answer() == 0).sum() > 5


def test_phases_that_alternate_keep_their_state_and_share_an_account_each():
    run, paths = Run(alternating, 600), []
    while not run.ledger.exhausted:
        run.step()
        paths.append(run.ledger.path)
    assert paths[:6] == ["search", "search", "descend", "descend", "search", "search"]
    (optimizer,) = run.optimizers
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert steps == {paths.count("descend")}
    assert sum(phase.forwards for phase in run.ledger.phases.values()) == run.ledger.forwards


@pytest.mark.parametrize("name", COMPOSED)
def test_looking_at_every_step_changes_nothing(name):
    quiet, watched = composed(name), composed(name)
    assert quiet.records() == watched.records(looking=True)
    assert_same_state(quiet, watched)


# -- tickets ----------------------------------------------------------------------------------------------------------


def by_name(model, vector):
    layout = ParameterLayout.of(dict(model.named_parameters()))
    return {name: value[0] for name, value in layout.unflatten(vector[None]).items()}


TICKETS = {
    "adam": ticket(),
    "adamw": ticket(finetune=lambda: TorchOptim("AdamW", 0.05, settings={"weight_decay": 0.1})),
    "momentum": ticket(random_search, momentum),
    "es": ticket(random_search, es),
    "random search": ticket(es, random_search),
    "sequence": ticket(es, sequence()),
}


def until_finetuning(run):
    """Steps up to the first one of the second phase; the parameters of every step before are looked at."""
    while run.ledger.active in (None, "search"):
        run.step()
    return run


@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("search", [es, random_search])
def test_a_ticket_has_exactly_the_stated_sparsity_in_each_weight(search, sparsity):
    run = until_finetuning(Run(ticket(search, sparsity=sparsity), 600))
    for name, kept in by_name(run.model, run.strategy.mask).items():
        masked = round(sparsity * kept.numel()) if kept.ndim >= 2 else 0
        assert (~kept).sum() == masked, name


def test_a_weight_that_starts_at_zero_is_masked_like_any_other():
    """As the last layer of many networks does."""
    model = network()
    nn.init.zeros_(model[3].weight)
    run = until_finetuning(Run(ticket(), 600, model=model))
    assert (~by_name(model, run.strategy.mask)["3.weight"]).sum() == 9


def test_the_search_decides_the_mask():
    masks = []
    for seed in range(2):
        run = Run(ticket(random_search), 600)
        run.oracle.generator.manual_seed(seed)
        masks.append(until_finetuning(run).strategy.mask)
    assert not torch.equal(*masks)


def test_the_mask_is_what_the_search_recommended():
    run = Run(ticket(random_search), 600)
    run.step()
    while run.ledger.phases["search"].progress < 1:
        run.step()
    recommended = run.strategy.encoding.decode(run.strategy.phases["search"].recommend()[None])
    run.step()
    mask = by_name(run.model, run.strategy.mask)
    for name, value in recommended.items():
        assert torch.equal(mask[name], value[0] != 0)


class Doubled(SparseEncoding):
    """Positive values, twice as large, and zeros: a sparse network that does not have its initial weights."""

    def attach(self, parameters):
        self.layout = ParameterLayout.of(parameters)
        return self.layout.dimension

    def begin(self, parameters, generator):
        return self.layout.flatten(parameters)

    def decode(self, z):
        return self.layout.unflatten(2 * z.clamp_min(0))

    def mask(self, z):
        return {name: value[0] > 0 for name, value in self.layout.unflatten(z[None]).items()}


@pytest.mark.parametrize("encoding", [Supermask(0.5), Doubled()], ids=["supermask", "doubled"])
def test_the_ticket_is_rewound_to_the_initial_weights(encoding):
    run = Run(lambda: LotteryTicket(random_search(), Note(), encoding, 0.4), 600)
    initial = parameters_of(run.model)
    run.records()
    met = run.strategy.phases["finetune"].met
    assert torch.equal(met[run.strategy.mask], initial[run.strategy.mask])
    assert (met[~run.strategy.mask] == 0).all()
    assert (~run.strategy.mask).any()


@pytest.mark.parametrize("name", TICKETS)
def test_masked_weights_are_exactly_zero_to_the_end_and_the_others_are_trained(name):
    run = until_finetuning(Run(TICKETS[name], 1200))
    mask, initial = run.strategy.mask.clone(), run.strategy.initial
    while not run.ledger.exhausted:
        run.step()
        weights = run.answer()
        assert (weights[~mask] == 0).all()
        assert (parameters_of(run.model)[~mask] == 0).all()
        assert torch.equal(run.strategy.mask, mask)
    assert (weights[mask] != initial[mask]).float().mean() > 0.9


def test_a_ticket_within_a_ticket_frees_no_weight():
    run = Run(ticket_of_tickets, 900)
    run.records()
    outer = run.strategy.mask
    assert (~outer).any()
    assert (parameters_of(run.model)[~outer] == 0).all()


def test_a_ticket_learns():
    """A sanity check at a fixed seed: the fine-tuned ticket has a smaller loss than the untrained network."""
    run = Run(ticket(lambda: es(20)), 20_000)
    inputs, targets = batch_at(0)
    run.begin((inputs, targets))
    before = nn.functional.cross_entropy(network()(inputs), targets)
    while not run.ledger.exhausted:
        run.strategy.step(run.oracle, (inputs, targets))
    assert nn.functional.cross_entropy(run.model(inputs), targets) < 0.5 * before


def finders():
    """The installed strategies that can find a ticket: they work in an encoding, or hand over a mask."""
    for name in registry.names("strategy"):
        try:
            strategy = building.build("strategy", filled("strategy", {"name": name}), spec=SPEC)
            ticket(search=lambda strategy=strategy: strategy)()
            check_compatible(
                CrossEntropy(), strategy, Supermask(0.5) if "direct" not in strategy.requires else None, SPEC
            )
        except ConfigError:
            continue
        yield name


def test_many_kinds_of_strategies_find_tickets():
    kinds = {"openai_es", "ensemble_kalman_inversion", "guided_es", "iterative_magnitude_pruning", "edge_popup", "adam"}
    assert kinds <= set(finders())


@pytest.mark.parametrize("name", list(finders()))
def test_every_strategy_that_can_finds_a_ticket(name):
    def search():
        return building.build("strategy", filled("strategy", {"name": name}), spec=SPEC)

    run = until_finetuning(Run(ticket(search, search_share=0.1), 60_000))
    kept = by_name(run.model, run.strategy.mask)["1.weight"]
    assert not kept.all()
    run.step()
    assert (by_name(run.model, run.answer())["1.weight"][~kept] == 0).all()


# -- resuming ---------------------------------------------------------------------------------------------------------


def checkpoints(run, looking):
    """Of every third step of a run to its end, and of those before and after a phase ends."""
    taken = []
    while not run.ledger.exhausted:
        run.step()
        if looking:
            run.answer()
        taken.append((run.ledger.path, run.save()))
    assert len(taken) >= 15
    paths = [None, *(path for path, _ in taken), None]
    around = [len(set(paths[step : step + 3])) > 1 for step in range(len(taken))]
    return [saved for step, (_, saved) in enumerate(taken[:-1]) if step % 3 == 0 or around[step]]


@pytest.mark.parametrize("looking", [False, True])
@pytest.mark.parametrize("name", COMPOSED)
def test_a_run_restored_at_any_step_equals_an_uninterrupted_one(name, looking):
    reference = composed(name)
    saved = checkpoints(reference, looking)
    reference.answer()
    for content in saved:
        resumed = composed(name).load(content)
        step = resumed.taken
        resumed.records(looking)
        assert_same_state(resumed, reference, f"from step {step}")


@pytest.mark.parametrize("name", ["search, then descent", "ticket", "nested"])
def test_a_restored_run_that_does_not_step_keeps_its_parameters(name):
    reference = composed(name)
    reference.records()
    resumed = composed(name).load(reference.save())
    resumed.answer()
    assert torch.equal(parameters_of(resumed.model), parameters_of(reference.model))


# -- refusals ---------------------------------------------------------------------------------------------------------


def phases(*names):
    return {name: random_search() for name in names}


def test_shares_of_other_phases_are_refused():
    with pytest.raises(ConfigError, match=r"strategy\.shares must name phases, but names c\. .*Choose from: a, b"):
        Sequence({"a": es(), "b": es()}, {"a": 0.5, "c": 0.5})


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ConfigError, match=r"The shares a: 1 leave nothing for b: lower them"):
        Sequence({"a": es(), "b": es()}, {"a": 1.0})


@pytest.mark.parametrize("shares", [(0.5, 0.4), (0.5, 0.6), (0.0, 1.0), (-0.5, 1.5), (float("nan"), 0.5)])
def test_shares_that_are_no_shares_are_refused(shares):
    a, b = shares
    with pytest.raises(ConfigError) as caught:
        Sequence(phases("a", "b"), {"a": a, "b": b})
    assert str(caught.value) == (
        f"The shares of the phases must be positive and add up to 1, but are a: {a:g}, b: {b:g}."
    )


@pytest.mark.parametrize("shares", [{}, {"a": 1.0}])
def test_a_sequence_without_phases_is_refused(shares):
    with pytest.raises(ConfigError, match=r"^A sequence needs at least one phase, for example "):
        Sequence({}, shares)


def test_shares_may_be_rounded():
    Sequence(phases("a", "b", "c"), {"a": 0.3333333, "b": 0.3333333, "c": 0.3333334})


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_search_share_that_leaves_nothing_is_refused(share):
    with pytest.raises(ConfigError) as caught:
        ticket(search_share=share)()
    needed = "be a finite number" if isnan(share) else "lie in (0, 1)"
    assert str(caught.value) == f"strategy.search_share must {needed}, but is {share:g}."


def test_a_ticket_is_refused_what_neither_works_in_an_encoding_nor_hands_over_a_mask():
    with pytest.raises(
        ConfigError, match="works in an encoding or hands over a mask, and ForwardGradient does neither"
    ):
        ticket(search=ForwardGradient)()


# -- controls of a ticket ---------------------------------------------------------------------------------------------


def found_and_kept(mask, survivors="rewind"):
    """The mask that the search has found, the one that is trained, where training begins, and the initial weights."""
    run = Run(lambda: LotteryTicket(es(), sgd(lr=0.0), Supermask(0.5), 0.4, mask, survivors), 600)
    initial = parameters_of(run.model)
    while run.ledger.path != "finetune":
        run.step()
    layout = run.strategy.layout
    found = run.strategy.encoding.mask(run.strategy.phases["search"].recommend())
    return found, layout.named(run.strategy.mask), layout.named(parameters_of(run.model)), layout.named(initial)


@pytest.mark.parametrize("mask", ["shuffled", "random"])
def test_a_control_keeps_as_many_weights_in_other_places(mask):
    found, kept, _, _ = found_and_kept(mask)
    counts = [[int(one[name].sum()) for name in found] for one in (found, kept)]
    assert sum(counts[0]) == sum(counts[1])
    assert (counts[0] == counts[1]) == (mask == "shuffled")
    assert any(not torch.equal(found[name], kept[name]) for name in found)


def test_redrawn_survivors_are_the_initial_weights_in_another_order():
    found, kept, here, initial = found_and_kept("found", "redraw")
    for name, value in initial.items():
        assert set(here[name][kept[name]].tolist()) <= set(value.flatten().tolist())
    assert any(not torch.equal(here[name][kept[name]], initial[name][kept[name]]) for name in found)
