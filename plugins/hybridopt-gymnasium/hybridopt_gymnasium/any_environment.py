"""Any environment that gymnasium knows (Towers et al. 2024, https://arxiv.org/abs/2407.17032)."""

from typing import Any, Literal

from hybridopt_gymnasium.episodes import Episodes, episodes_of


def any_environment(
    id: str,
    kwargs: dict[str, Any] = {},
    package: str | None = None,
    max_steps: int | None = None,
    scaling: Literal["bounds", "none"] = "bounds",
    episodes: int = 4,
    val_episodes: int = 20,
    test_episodes: int = 100,
    split_seed: int = 0,
) -> Episodes:
    """Any gymnasium environment by its id and kwargs, whose observation flattens to a vector.

    Args:
        id: gymnasium's id, such as "LunarLander-v3".
        kwargs: what the environment is made with, such as {"gravity": -5.0}.
        package: a package to import first, for environments that gymnasium does not find by itself; this runs its code.
        max_steps: the time limit of an episode, in steps; None for the environment's own, if it has one.
        scaling: "bounds" divides an observed value by the larger of its bounds, where it has some; "none" does nothing.
        episodes: how many a training batch has; every member of a population plays them all.
        val_episodes: how many are played for validation, always the same.
        test_episodes: how many are played for the test, always the same, and others than for validation.
        split_seed: chooses the episodes for validation and test.

    Raises:
        ConfigError: there is no such environment, it cannot be made or played, or a number is out of range.
    """
    return episodes_of(
        id,
        kwargs,
        max_steps=max_steps,
        scaling=scaling,
        episodes=episodes,
        val_episodes=val_episodes,
        test_episodes=test_episodes,
        split_seed=split_seed,
        package=package,
    )


any_environment.conformance = {"settings": [{"id": "CartPole-v1"}, {"id": "MountainCarContinuous-v0"}]}
