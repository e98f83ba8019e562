"""Each check of strategies, by a strategy that fails that one alone, and by one that fails none."""

from __future__ import annotations

import re

import broken_strategies as broken
import pytest
import torch

from hybridopt.testing import as_plugin, checks, run_checks
from hybridopt.testing.kit import outcome

LEARNING = {"improves_on_sphere", "improves_on_noisy_quadratic", "improves_on_network"}

BROKEN = [  # a strategy, what it fails, and what is said of it
    (broken.Undocumented, {"has_a_summary"}, r"it has no docstring"),
    (broken.Mistyped, {"config_survives_yaml"}, r"do not fit the types of its signature .*0\.1.*Integer"),
    (broken.Overambitious, {"search_space_is_of_its_settings"}, r"has temperature, which is no setting of it"),
    (broken.Unsweepable, {"search_space_is_of_its_settings"}, r"has sigma='0.1', which sweeps nothing"),
    (
        broken.Uncontrolled,
        {"control_arms_are_of_its_settings"},
        r"its control arm 'without the luck' has 'strategy.luck=false', which is no setting of it",
    ),
    (broken.Partless, {"control_arms_are_of_its_settings"}, r"'strategy=@finetune', which is neither a part of it nor"),
    (
        broken.HalfDone,
        {"builds_from_every_option"},
        r"with noise=uniform it raises .*\(uniform noise is for next week\)",
    ),
    (
        broken.Stuck,
        LEARNING,
        r"it comes from a loss of [\d.]+ to [\d.]+ with seed 0 and from .* with seed 1, in \d+ forwards",
    ),
    (broken.Misled, LEARNING, r"it comes from a loss of [\d.]+ to "),
    (broken.Greedy, {"honours_the_budget"}, r"asks the oracle \d+ times .* after it is spent"),
    (broken.Refunding, {"leaves_the_ledger_alone"}, r"puts -\d+ forwards on the ledger itself"),
    (broken.Overcharging, {"leaves_the_ledger_alone"}, r"puts \d+ forwards on the ledger itself"),
    (broken.Smuggling, {"goes_through_the_oracle"}, r"runs the network \d+ times past the oracle"),
    (
        broken.Remembering,
        {"same_seed_same_numbers", "ignores_global_random_state", "survives_save_and_load", "recommends_at_any_time"}
        | {"ignores_the_number_of_threads", "pickles_into_another_process", "can_begin_again"},
        r"two runs with the same seed end differently: the recommended parameters differ",
    ),
    (broken.Tired, {"can_begin_again"}, r"begun for the second time it does not do"),
    (
        broken.Reseeding,
        {"takes_a_step"},
        r"draws from, or seeds, the global generator of torch: draw from",
    ),
    (
        broken.NumpyDrawing,
        {"takes_a_step"},
        r"draws from, or seeds, the global generator of numpy: draw from",
    ),
    (broken.Threaded, {"ignores_the_number_of_threads"}, r"with two threads it ends [\d.]+ away"),
    (broken.Forgetful, {"survives_save_and_load"}, r"in the step after a checkpoint of step 1 was loaded it raises"),
    (
        broken.Unsafe,
        {"survives_save_and_load"},
        r"a checkpoint after step 0 cannot be saved and loaded: it holds more than .* numpy object",
    ),
    (broken.SinglePrecision, {"follows_the_dtype"}, r"recommends torch\.float32 for a network in float64"),
    (
        broken.Averaging,
        {"bears_failures"},
        r"after losses that are NaN or infinite it recommends parameters that are not",
    ),
    (
        broken.Pruned,
        {"leaves_masked_weights_alone", "writes_through_the_oracle"},
        r"masked weights of [\w., ]+ are not zero after step 1",
    ),
    (broken.Crowded, {"population_of_one"}, r"with a population of one it recommends parameters that are not finite"),
    (
        broken.Manifold,
        {"dimension_of_one"},
        r"for a network of one weight it recommends parameters that are not finite",
    ),
    (broken.Tardy, {"recommends_at_any_time"}, r"asked for a recommendation after step 0 it raises"),
    (broken.Fickle, {"recommends_at_any_time"}, r"looked at after each step ends differently"),
    (broken.Unpicklable, {"pickles_into_another_process"}, r"it cannot be pickled: "),
    (broken.Absent, {"pickles_into_another_process"}, r"in another process the same strategy does something else"),
    (broken.Flat, {"takes_a_step"}, r"ask gives a tensor of shape \(35,\) and not \(n, 35\), one candidate a row"),
    (broken.Listed, {"takes_a_step"}, r"ask gives an object of the type list and not a tensor \(n, 35\)"),
    (
        broken.Double,
        {"takes_a_step"},
        r"candidates of torch\.float64 for a network in torch\.float32: make",
    ),
    (broken.Rowed, {"takes_a_step"}, r"recommend gives a tensor of shape \(1, 35\) and not a vector \(35,\)"),
    (broken.Silent, {"takes_a_step"}, r"step gives None and not scalars by name, among them .loss."),
    (
        broken.Unregistered,
        {"keeps_its_state_in_buffers", "survives_save_and_load"},
        r"keeps a tensor in the plain attribute self\.x, which is not moved to the device and not saved",
    ),
    (
        broken.Historian,
        {"keeps_its_state_in_buffers", "survives_save_and_load"},
        r"keeps a tensor in the plain attribute self\.history,",
    ),
    (broken.Centring, {"leaves_what_it_is_told_alone"}, r"tell changes the losses in place, which others use"),
    (
        broken.Scribbling,
        {"writes_through_the_oracle"},
        r"writes into 1\.weight of the network itself: change the network by oracle\.assign",
    ),
    (broken.Threading, {"leaves_the_process_alone"}, r"changes the whole process \(torch\.set_num_threads\): put back"),
    (broken.Mute, {"survives_save_and_load"}, r"_extra_state.: set_extra_state belongs to get_extra_state"),
    (broken.Mislabelled, {"can_be_imported"}, r"no such check\. Did you mean 'improves_on_sphere'\?"),
    (broken.Gibberish, {"can_be_imported"}, r"conformance\['expected_failure'\], which the kit does not know"),
]


@pytest.mark.parametrize(("strategy", "fails", "says"), BROKEN, ids=[case[0].__name__ for case in BROKEN])
def test_a_broken_strategy_fails_its_check_alone(strategy, fails, says):
    failed = {outcome.check: outcome.sentence for outcome in run_checks(strategy) if outcome.status == "failed"}
    assert failed.keys() == fails, failed
    first = next(sentence for check, sentence in failed.items() if re.search(says, sentence))
    assert first.startswith(f"strategy {strategy.__name__} fails ")
    assert all(re.fullmatch(r"[^\n]+\.", sentence) for sentence in failed.values()), failed


@pytest.mark.parametrize("strategy", [broken.Climb, broken.ClimbPlainly], ids=lambda value: value.__name__)
def test_a_sound_strategy_passes(strategy):
    assert [outcome for outcome in run_checks(strategy) if outcome.status != "passed"] == []


def test_each_check_is_failed_by_somebody():
    known = {check.name for check in checks(broken.Climb)}
    assert known - {"follows_the_device"} == set.union(*(fails for _, fails, _ in BROKEN))
    assert ("follows_the_device" in known) == torch.cuda.is_available()


@pytest.mark.parametrize(("unlucky", "status"), [({2}, "passed"), ({2, 7}, "failed")])
def test_a_single_seed_may_fail_to_learn(unlucky, status):
    class Unlucky(broken.Climb):
        """Which does not learn with some seeds."""

        def tell(self, population, losses):
            if self.generator.initial_seed() not in unlucky:
                super().tell(population, losses)

    check = next(check for check in checks(Unlucky) if check.name == "improves_on_sphere")
    assert outcome(check, as_plugin(Unlucky)).status == status
