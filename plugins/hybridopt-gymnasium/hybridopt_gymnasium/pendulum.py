"""The pendulum's swing-up, as gymnasium has it (https://gymnasium.farama.org/environments/classic_control/pendulum/)."""

from typing import Literal

from hybridopt_gymnasium.episodes import Episodes, episodes_of


def pendulum(
    g: float = 10.0,
    max_steps: int | None = None,
    scaling: Literal["bounds", "none"] = "bounds",
    episodes: int = 4,
    val_episodes: int = 20,
    test_episodes: int = 100,
    split_seed: int = 0,
) -> Episodes:
    """Pendulum-v1: a pendulum swung up and held by a torque; 3 values, 1 real action, returns from about -2000 to 0.

    Args:
        g: the acceleration of gravity, in m/s^2.
        max_steps: the time limit of an episode, in steps; None for the environment's own, 200.
        scaling: "bounds" divides an observed value by the larger of its bounds, where it has some; "none" does nothing.
        episodes: how many a training batch has; every member of a population plays them all.
        val_episodes: how many are played for validation, always the same.
        test_episodes: how many are played for the test, always the same, and others than for validation.
        split_seed: chooses the episodes for validation and test.

    Raises:
        ConfigError: a number is out of range.
    """
    return episodes_of(
        "Pendulum-v1",
        {"g": g},
        max_steps=max_steps,
        scaling=scaling,
        episodes=episodes,
        val_episodes=val_episodes,
        test_episodes=test_episodes,
        split_seed=split_seed,
    )
