"""Parts that a plain ``pip install hybridopt`` leaves out, each an extra by which pip installs it."""

from __future__ import annotations

from importlib.util import find_spec

from hybridopt.errors import ConfigError

PARTS = {  # what an extra adds: the modules that are imported, and what they are called in a sentence
    "report": {"matplotlib": "matplotlib", "scikit_posthocs": "scikit-posthocs", "statsmodels": "statsmodels"},
    "ui": {"flask": "MLflow's server"},  # mlflow brings it, mlflow-skinny does not
}

LAUNCHERS = {"joblib": "joblib", "ray": "ray", "submitit_local": "submitit", "submitit_slurm": "submitit"}  # -> extra


def lacking(extra: str) -> list[str]:
    """What of an extra is not installed; nothing is imported.

    Args:
        extra: its name in pyproject.toml.
    """
    return [name for module, name in PARTS[extra].items() if find_spec(module) is None]


def remedy(extra: str) -> str:
    """What to type to install an extra."""
    return f'pip install "hybridopt[{extra}]"'


def demand(extra: str, what: str) -> None:
    """Refuse what an extra is needed for, before anything is computed.

    Args:
        extra: its name in pyproject.toml.
        what: needs it, as the beginning of a sentence.

    Raises:
        ConfigError: a part of it is not installed.
    """
    absent = lacking(extra)
    if absent:
        raise ConfigError(f"{what} needs {listed(absent)}: type {remedy(extra)}.")


def listed(names: list[str]) -> str:
    """Names as a sentence has them: "a, b and c"."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
