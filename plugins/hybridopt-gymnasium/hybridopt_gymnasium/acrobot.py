"""Acrobot (Sutton 1996, https://proceedings.neurips.cc/paper/1995/hash/8f1d43620bc6bb580df6e80b0dc05c48-Abstract.html)."""

from typing import Literal

from hybridopt_gymnasium.episodes import Episodes, episodes_of


def acrobot(
    max_steps: int | None = None,
    scaling: Literal["bounds", "none"] = "bounds",
    episodes: int = 4,
    val_episodes: int = 20,
    test_episodes: int = 100,
    split_seed: int = 0,
) -> Episodes:
    """Acrobot-v1: two links swung up by the joint between them; 6 values, 3 actions, solved at a return of -100.

    Args:
        max_steps: the time limit of an episode, in steps; None for the environment's own, 500.
        scaling: "bounds" divides an observed value by the larger of its bounds, where it has some; "none" does nothing.
        episodes: how many a training batch has; every member of a population plays them all.
        val_episodes: how many are played for validation, always the same.
        test_episodes: how many are played for the test, always the same, and others than for validation.
        split_seed: chooses the episodes for validation and test.

    Raises:
        ConfigError: a number is out of range.
    """
    return episodes_of(
        "Acrobot-v1",
        {},
        max_steps=max_steps,
        scaling=scaling,
        episodes=episodes,
        val_episodes=val_episodes,
        test_episodes=test_episodes,
        split_seed=split_seed,
    )
