"""CartPole (Barto, Sutton & Anderson 1983, https://doi.org/10.1109/TSMC.1983.6313077)."""

from typing import Literal

from hybridopt_gymnasium.episodes import Episodes, episodes_of


def cartpole(
    max_steps: int | None = None,
    scaling: Literal["bounds", "none"] = "bounds",
    episodes: int = 4,
    val_episodes: int = 20,
    test_episodes: int = 100,
    split_seed: int = 0,
) -> Episodes:
    """CartPole-v1: a pole on a cart, kept upright by pushes; 4 values, 2 actions, solved at a return of 475.

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
        "CartPole-v1",
        {},
        max_steps=max_steps,
        scaling=scaling,
        episodes=episodes,
        val_episodes=val_episodes,
        test_episodes=test_episodes,
        split_seed=split_seed,
    )
