"""Triggers end a turn where their mathematics says so."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from hybridopt import ConfigError, Trigger
from hybridopt.core.handover import Handover
from hybridopt.core.trigger import Turn
from hybridopt.core.view import Feed
from hybridopt.triggers.plateau import Plateau
from hybridopt.triggers.snr import SNR
from hybridopt.triggers.stalled_sigma import StalledSigma
from hybridopt.triggers.target import Target

METRICS = {"val/loss": False, "val/accuracy": True, "val/nothing": None}


class Told:
    """A phase that recommends what it is told to."""

    def __init__(self, z: Tensor | None = None, sigma: Tensor | None = None):
        self.z, self.sigma = z, sigma

    def recommend(self) -> Tensor | None:
        return self.z

    def handover(self) -> Handover:
        return Handover(sigma=self.sigma)


def seen(phase: Told | None = None, feed: Feed | None = None, point: Tensor | None = None) -> Turn:
    return Turn(phase or Told(), SimpleNamespace(feed=feed or Feed(), point=point), 0.0)


def ends(trigger: Trigger, losses: Iterable[float | Tensor]) -> int | None:
    """The step after which a turn of such losses is over."""
    trigger.begin(seen())
    for step, loss in enumerate(losses, start=1):
        trigger.observe(seen(), {"loss": loss})
        if trigger.over(seen()):
            return step
    return None


# -- plateau ----------------------------------------------------------------------------------------------------------


def plateau(improvement: float = 0.01, smoothing: float = 0.0) -> Plateau:
    return Plateau(window=5, improvement=improvement, smoothing=smoothing)


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 1e-12])
@pytest.mark.parametrize("smoothing", [0.0, 0.9])
def test_a_loss_that_stands_still_ends_the_turn_after_the_window(level: float, smoothing: float) -> None:
    assert ends(plateau(smoothing=smoothing), [level] * 20) == 1 + 5


@pytest.mark.parametrize("slope", [0.02, 1.0])
@pytest.mark.parametrize("start", [1.0, 0.001, -1.0])
def test_a_loss_that_falls_below_zero_and_on_does_not(start: float, slope: float) -> None:
    """Each step gains 2 % of its size at least, also where the size is that of a negative loss."""
    losses = [start]
    for _ in range(60):
        losses.append(losses[-1] - slope * abs(losses[-1]) - 1e-6)
    assert ends(plateau(), losses) is None


def test_gains_that_are_too_small_do_not_count_but_add_up() -> None:
    falling = [0.996**step for step in range(60)]
    assert ends(plateau(improvement=0.01), falling) is None  # three steps are more than 1 %, and the window has five
    assert ends(plateau(improvement=0.03), falling) == 1 + 5


def test_the_best_is_the_lowest_that_counted_and_a_rise_is_no_gain() -> None:
    assert ends(plateau(), [1.0, 0.5, 2.0, 1.5, 1.0, 0.6, 0.5]) == 2 + 5


@pytest.mark.parametrize("failure", [float("nan"), float("inf"), torch.tensor(float("nan"))])
def test_a_step_without_a_finite_loss_is_one_without_a_gain(failure: float | Tensor) -> None:
    assert ends(plateau(), [1.0, failure, 0.5, failure, failure, failure, failure, failure, 0.1]) == 3 + 5
    assert ends(plateau(smoothing=0.9), [1.0, failure, *[1.0] * 10]) == 1 + 5


def test_losses_that_are_never_finite_end_the_turn_too() -> None:
    assert ends(plateau(), [float("nan")] * 20) == 5


def test_smoothing_looks_through_noise() -> None:
    """A loss that falls by 0.5 % a step under noise of 20 %: unsmoothed, luck sets a mark that nothing passes."""
    generator = torch.Generator().manual_seed(0)
    noisy = [0.995**step * float(1 + 0.2 * torch.randn((), generator=generator)) for step in range(300)]
    assert (ends(Plateau(30, 0.01, smoothing=0.0), noisy) or 300) < 100
    assert (ends(Plateau(30, 0.01, smoothing=0.95), noisy) or 300) == 300


# -- signal to noise --------------------------------------------------------------------------------------------------


def ratios(steps: Tensor, window: int = 100, dtype: torch.dtype = torch.float32) -> list[float]:
    """What is found at each look along a walk of such steps (n, d)."""
    trigger, z, found = SNR(window), torch.zeros(steps.shape[1], dtype=dtype), []
    trigger.begin(seen(Told(z)))
    for step, move in enumerate(steps.to(dtype), start=1):
        z = z + move
        trigger.observe(seen(Told(z)), {})
        if step % window == 0:
            found.append(float(trigger.found))
    return found


def noise(count: int, d: int = 200) -> Tensor:
    return torch.randn(count, d, generator=torch.Generator().manual_seed(0))


def correlated(steps: Tensor, memory: float) -> Tensor:
    """AR(1), as momentum makes of independent steps."""
    made = [steps[0]]
    for step in steps[1:]:
        made.append(memory * made[-1] + (1 - memory) * step)
    return torch.stack(made)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_a_walk_without_a_direction_has_a_ratio_of_one_also_with_momentum(memory: float) -> None:
    """In 200 dimensions its spread is small.

    The standard error of single steps would be too small by sqrt((1 + m) / (1 - m)): 3 for a memory of 0.8.
    """
    found = ratios(correlated(noise(4000), memory), window=400)
    assert len(found) == 10
    assert all(0.75 < ratio < 1.35 for ratio in found), found


def test_a_direction_shows_above_its_noise() -> None:
    """Parts of 10 steps, whose mean is as long as their noise is: sqrt(1 + 10) by expectation."""
    drift = torch.ones(200) / 10**0.5
    found = ratios(noise(1000) + drift)
    assert all(3.0 < ratio < 3.7 for ratio in found), found
    assert all(ratio > 1e3 for ratio in ratios(drift.expand(200, -1), dtype=torch.float64))


def test_it_looks_at_whole_windows_and_a_walk_that_stops_ends_the_turn() -> None:
    trigger, z = SNR(window=20), torch.zeros(3)
    trigger.begin(seen(Told(z)))
    for step in range(1, 41):
        z = z + (1.0 if step <= 20 else 0.0)
        trigger.observe(seen(Told(z)), {})
        assert trigger.over(seen(Told(z))) == (step == 40)
    assert float(trigger.found) == 0.0


def test_the_model_is_looked_at_where_a_phase_recommends_none() -> None:
    trigger = SNR(window=20)
    trigger.begin(seen(point=torch.zeros(3)))
    for _ in range(20):
        trigger.observe(seen(point=torch.zeros(3)), {})
    assert trigger.over(seen())


# -- target -----------------------------------------------------------------------------------------------------------


def validated(*values: dict[str, float]) -> Feed:
    return Feed(directions=METRICS, curve=list(enumerate(values)))


@pytest.mark.parametrize(
    ("metric", "worse", "reached"), [("val/accuracy", 0.79, 0.8), ("val/loss", 0.81, 0.8)], ids=["higher", "lower"]
)
def test_a_target_is_reached_from_the_worse_side(metric: str, worse: float, reached: float) -> None:
    trigger, feed = Target(metric, 0.8), validated({metric: reached})
    turn = seen(feed=feed)
    trigger.begin(turn)
    assert not trigger.over(turn)  # the mark is of the turn before
    feed.curve.append((1, {metric: worse}))
    assert not trigger.over(turn)
    feed.curve.append((2, {metric: reached}))
    assert trigger.over(turn)
    feed.curve.append((3, {metric: float("nan")}))
    assert not trigger.over(turn)


@pytest.mark.parametrize("metric", ["val/acuracy", "val/nothing"])
def test_a_target_of_no_metric_is_refused_before_anything_trains(metric: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Target(metric).attach(SimpleNamespace(feed=validated()))
    assert str(refused.value).startswith(
        f"trigger.metric={metric} is no metric of this run that is better high, or low."
    )
    assert "val/accuracy" in str(refused.value)


# -- stalled sigma ----------------------------------------------------------------------------------------------------


def test_widths_are_held_against_those_of_the_turns_beginning_by_their_geometric_mean() -> None:
    trigger, phase = StalledSigma(bound=0.1), Told(sigma=torch.tensor([4.0, 1.0]))
    trigger.begin(seen(phase))
    phase.sigma = torch.tensor([4.0, 0.011])
    assert not trigger.over(seen(phase))
    phase.sigma = torch.tensor([0.4, 0.0999])
    assert trigger.over(seen(phase))
    trigger.begin(seen(phase))
    assert not trigger.over(seen(phase))
    phase.sigma = torch.zeros(2)  # nothing is left
    assert trigger.over(seen(phase))


def test_a_width_of_exactly_the_bound_is_below_it() -> None:
    trigger, phase = StalledSigma(bound=0.5), Told(sigma=torch.ones(2, dtype=torch.float64))
    trigger.begin(seen(phase))
    phase.sigma = phase.sigma / 2
    assert trigger.over(seen(phase))


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Plateau(window=0), "trigger.window must be at least 1, but is 0."),
        (lambda: Plateau(smoothing=1.0), "trigger.smoothing must lie in [0, 1), but is 1."),
        (lambda: SNR(window=9), "trigger.window must be at least 10, but is 9."),
        (lambda: SNR(ratio=0.0), "trigger.ratio must be a positive number, but is 0."),
        (lambda: Target(value=float("nan")), "trigger.value must be a finite number, but is nan."),
        (lambda: StalledSigma(bound=-1.0), "trigger.bound must be a positive number, but is -1."),
    ],
)
def test_settings_out_of_range_are_refused(make, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make()
    assert str(refused.value) == sentence
