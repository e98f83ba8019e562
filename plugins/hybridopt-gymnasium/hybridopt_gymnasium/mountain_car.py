"""Mountain car (Moore 1990, https://www.cl.cam.ac.uk/techreports/UCAM-CL-TR-209.pdf)."""

from typing import Literal

from hybridopt_gymnasium.episodes import Episodes, episodes_of


def mountain_car(
    continuous: bool = False,
    max_steps: int | None = None,
    scaling: Literal["bounds", "none"] = "bounds",
    episodes: int = 4,
    val_episodes: int = 20,
    test_episodes: int = 100,
    split_seed: int = 0,
) -> Episodes:
    """MountainCar-v0: an engine too weak for the hill; 2 values, 3 actions, solved at a return of -110.

    Args:
        continuous: whether the action is a force (MountainCarContinuous-v0) and not one of three pushes.
        max_steps: the time limit of an episode, in steps; None for the environment's own, 200, or 999 with a force.
        scaling: "bounds" divides an observed value by the larger of its bounds, where it has some; "none" does nothing.
        episodes: how many a training batch has; every member of a population plays them all.
        val_episodes: how many are played for validation, always the same.
        test_episodes: how many are played for the test, always the same, and others than for validation.
        split_seed: chooses the episodes for validation and test.

    Raises:
        ConfigError: a number is out of range.
    """
    return episodes_of(
        "MountainCarContinuous-v0" if continuous else "MountainCar-v0",
        {},
        max_steps=max_steps,
        scaling=scaling,
        episodes=episodes,
        val_episodes=val_episodes,
        test_episodes=test_episodes,
        split_seed=split_seed,
    )
