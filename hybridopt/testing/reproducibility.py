"""Whether a strategy does the same again: with the same seed, begun again, and from a checkpoint."""

from __future__ import annotations

from hybridopt.composition.registry import Plugin
from hybridopt.core.ledger import Budget
from hybridopt.testing.kit import CheckFailure, check, during, fail_if, unloadable
from hybridopt.testing.problems import Problem, problem_of
from hybridopt.testing.runs import MOST, Run, difference, global_seeds, global_states, short_budget, threads


def assert_same_end(one: Run, other: Run, sentence: str) -> None:
    """Two runs end alike, to the last bit, in what they recommend and in their state."""
    answers = one.answer(), other.answer()
    place = difference(answers[0], answers[1]) and "the recommended parameters differ"
    if place is None:
        place = difference(one.state(), other.state())
        place = place and f"{place} differs"
    fail_if(place, f"{sentence}: {place}.")


@check("strategy")
def same_seed_same_numbers(plugin: Plugin) -> None:
    """Two runs with the same seed end with the same parameters and state, to the last bit."""
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    one, other = (Run(plugin, problem, budget=budget).finish(MOST) for _ in range(2))
    assert_same_end(one, other, "two runs with the same seed end differently")


@check("strategy")
def can_begin_again(plugin: Plugin) -> None:
    """Begun for the second time, from the same weights, it does what a new one does: a hybrid may repeat a phase."""
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    fresh, used = (Run(plugin, problem, budget=budget).finish(3) for _ in range(2))
    used.rewind()
    assert_same_end(fresh, used.finish(3), "begun for the second time it does not do what it did the first time")


@check("strategy")
def ignores_global_random_state(plugin: Plugin) -> None:
    """It draws from ``self.generator`` alone: torch's, numpy's and Python's global generators neither have a say nor
    are touched."""
    problem, ends = problem_of(plugin), []
    budget = short_budget(plugin, problem)
    for seed in (1, 2):
        with global_seeds(seed):
            run = Run(plugin, problem, budget=budget)
            before = global_states()
            ends.append(run.finish(MOST))
            touched = [name for name, state in global_states().items() if difference(state, before[name])]
            fail_if(touched, f"it draws from, or seeds, the global generator of {' and '.join(touched)}: {DRAW}.")
    first, second = ends
    assert_same_end(first, second, f"another state of the global generators gives another run; {DRAW}")


DRAW = "draw from self.generator (in a Strategy: oracle.generator) alone"


@check("strategy")
def ignores_the_number_of_threads(plugin: Plugin) -> None:
    """A run on two threads ends where one on a single thread does, to rounding (1e-3 after three steps)."""
    problem, answers = problem_of(plugin), []
    budget = short_budget(plugin, problem)
    for count in (1, 2):
        with threads(count):
            answers.append(Run(plugin, problem, budget=budget).finish(3).answer())
    distance = (answers[0] - answers[1]).abs().max().item()
    fail_if(not distance < 1e-3, f"with two threads it ends {distance:.2g} away from where it does with one.")


# -- checkpoints ------------------------------------------------------------------------------------------------------


@check("strategy")
def survives_save_and_load(plugin: Plugin) -> None:
    """A run that is saved, built again and loaded at every step equals one that never stopped, to the last bit.

    Whatever a step leaves outside of buffers, optimisers and ``get_extra_state`` is lost each time, and shows.
    Checkpoints are loaded as a trial loads them: with nothing that needs pickle.
    """
    problem = problem_of(plugin)
    budget = short_budget(plugin, problem)
    whole, parts = Run(plugin, problem, budget=budget), Run(plugin, problem, budget=budget)
    for step in whole.steps():
        parts = resumed(plugin, problem, budget, parts, step - 1)
        with during(f"in the step after a checkpoint of step {step - 1} was loaded"):
            parts.step()
        place = difference(whole.state(), parts.state())
        fail_if(
            place,
            f"{place} differs after step {step} from a run that was never saved and loaded: keep what a step needs of "
            "those before in buffers or get_extra_state.",
        )
    assert_same_end(whole, resumed(plugin, problem, budget, parts, whole.taken), "the loaded run ends differently")


def resumed(plugin: Plugin, problem: Problem, budget: Budget, run: Run, step: int) -> Run:
    """The run in new objects, from a checkpoint."""
    try:
        return Run(plugin, problem, budget=budget).load(run.save())
    except Exception as error:
        raise CheckFailure(
            f"a checkpoint after step {step} cannot be saved and loaded: {unloadable(error)}."
        ) from error
