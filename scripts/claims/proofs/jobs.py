"""Jobs on digits, a sweep over seeds each."""

from __future__ import annotations

from runs import Run, sweep


def jobs(overrides: list[str], seeds: int) -> list[Run]:
    """A run for each seed, in the order of the seeds."""
    found = sorted(sweep([*overrides, f"seeds={seeds}"]), key=lambda run: run.seed)
    if len(found) != seeds:
        raise SystemExit(f"{command(overrides, seeds)} left {len(found)} results of {seeds}.")
    return found


def test_accuracies(overrides: list[str], seeds: int) -> list[float]:
    """Test accuracy by seed."""
    return [run.summary["test/accuracy"] for run in jobs(overrides, seeds)]


def command(overrides: list[str], seeds: int) -> str:
    """What a user types for it."""
    return " ".join(["hybridopt -m", *(f"'{part}'" if "[" in part else part for part in overrides), f"seeds={seeds}"])
