"""hybridopt from Python, as from the shell: compose a config, build its parts, run it.

Nothing heavy is imported before something is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybridopt.composition import registry, targets
from hybridopt.composition.compose import compose, plain_values
from hybridopt.errors import ConfigError

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule

    from hybridopt.execution.result import Result
    from hybridopt.execution.trial import Trial

__all__ = ["Parts", "build", "compose", "names", "run"]


@dataclass(frozen=True)
class Parts:
    """What a config builds.

    Args:
        trial: model, objective, strategy and budget, as a LightningModule.
        datamodule: the data, with a training stream that a resumed run continues exactly.
    """

    trial: Trial
    datamodule: LightningDataModule


def names(kind: str) -> list[str]:
    """The installed plugins of a kind, as users type them; nothing is imported.

    Args:
        kind: "model", "dataset", "objective", "encoding", "strategy" or "callback".

    Raises:
        PluginError: there is no such kind.
    """
    return registry.names(kind)


def build(config: Mapping[str, Any], *, instantiate_targets: bool = False) -> Parts:
    """The objects of a config, for a Trainer of your own.

    ``Trainer(**Trial.trainer_settings).fit(parts.trial, datamodule=parts.datamodule)`` trains them.

    Args:
        config: from :func:`compose`, or a mapping of plain values of the same form.
        instantiate_targets: whether you trust this config to call what is no plugin; what it says itself of that does
            not count.

    Raises:
        HybridoptError: a sentence that says which part does not fit, and what to choose instead.
    """
    with targets.permitting(instantiate_targets):
        plain = plain_values(config)
        targets.check(plain, instantiate_targets)
        from hybridopt.execution.parts import build_parts

        return Parts(*build_parts(plain))


def run(
    *what: str | Mapping[str, Any], directory: str | Path | None = None, instantiate_targets: bool = False
) -> Result | None:
    """Run a job to its end, as ``hybridopt`` does: train, test once, keep the result, report to MLflow.

    Args:
        what: overrides as a user types them (``run("strategy=adam", "seed=3")``), or one config from :func:`compose`.
            ``run("resume=<directory or run id>")`` goes on with a run, ``run("rerun=…")`` runs its job again.
        directory: where the run is kept; ``outputs/<date>/<time>`` unless it is given or resumed.
        instantiate_targets: whether you trust the config to call what is no plugin, as the override of that name says;
            what a file, a directory or a config that is handed over says itself does not count.

    Returns:
        Metrics, curve, the trained module and where the run is; None on the other ranks of a run on several devices.

    Raises:
        HybridoptError: a sentence that says what is wrong and what to type instead.
    """
    config = what[0] if len(what) == 1 and isinstance(what[0], Mapping) else None
    typed = _overrides(what) if config is None else []
    allowed = instantiate_targets or targets.said(typed)
    with targets.permitting(allowed):
        said = [f"{targets.SETTING}=true"] if allowed else []
        plain = plain_values(compose(*typed, *said) if config is None else config)
        if plain.get("seeds") is not None:
            raise ConfigError(
                f"seeds={plain['seeds']} is an axis of a sweep: type hybridopt -m, or seed=<number> here."
            )
        if plain.get("sweep", {}).get("controls"):
            raise ConfigError("sweep.controls adds jobs to a sweep: type hybridopt -m, or leave it out here.")
        targets.check(plain, allowed)
        return _run(plain, typed, directory, allowed)


def _run(plain: dict[str, Any], typed: list[str], directory: str | Path | None, allowed: bool) -> Result | None:
    """A new run of a job, or one that goes on."""
    from hybridopt.execution import experiment
    from hybridopt.execution.identity import find_run, job_again, refuse_other_overrides

    if plain.get("rerun") is not None:
        plain = job_again(plain, typed)
        targets.check(plain, allowed)
    if plain.get("resume") is not None:
        refuse_other_overrides(typed)
        return experiment.run(plain, find_run(plain["resume"]), instantiate_targets=allowed)
    place = Path(directory) if directory is not None else Path(f"outputs/{datetime.now():%Y-%m-%d/%H-%M-%S-%f}")
    return experiment.run(plain, place.absolute(), instantiate_targets=allowed)


def _overrides(what: tuple[str | Mapping[str, Any], ...]) -> list[str]:
    """What is typed, which is text."""
    wrong = next((item for item in what if not isinstance(item, str)), None)
    if wrong is not None:
        raise ConfigError(
            f'run takes overrides, such as "strategy=adam", or one config from compose, but was given {wrong!r}.'
        )
    return [item for item in what if isinstance(item, str)]
