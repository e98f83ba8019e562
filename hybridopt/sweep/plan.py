"""The plan of a sweep: the overrides that the user typed become jobs."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from hybridopt.composition import building, checking, targets
from hybridopt.composition.compose import plain_values
from hybridopt.composition.schema import JOBS
from hybridopt.errors import ConfigError, HybridoptError
from hybridopt.execution.directory import State
from hybridopt.execution.identity import fingerprint, run_name
from hybridopt.sweep.counting import refuse_empty, refuse_many
from hybridopt.sweep.derived import Deriver
from hybridopt.toolbox.ranges import at_least, between

log = logging.getLogger(__name__)

NAME = re.compile(r"[\w.+-]+")
NAMED = ("strategy", "dataset", "seed")  # what every job's label has
LARGE = 50  # jobs whose composition is worth a progress bar
RERUNS = ("failed", "all", "none")
CONTROLS = "sweep.controls"  # of the whole sweep; no job has it


@dataclass
class Job:
    """One job of a sweep.

    Args:
        overrides: what makes it this one, as it would be typed.
        config: plain values, resolved; empty where that failed.
        fingerprint: the hash of what it computes.
        label: how it is listed.
        directory: where it runs; its first attempt, a later one where it had failed and runs again.
        found: what had become of it when the sweep began.
        refused: why it cannot run at all, or None.
        tags: for its MLflow run.
        contents: what its result depends on besides its config, as it is now; see :mod:`hybridopt.execution.contents`.
        changed: which of these are others than in its former runs, where no run has had the same.
    """

    overrides: list[str]
    config: dict[str, Any]
    fingerprint: str
    label: str
    directory: Path
    found: State = State.NEW
    refused: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    contents: Mapping[str, str] = field(default_factory=dict)
    changed: Sequence[str] = ()

    @property
    def forwards(self) -> float | None:
        """The budget, or None where it has another unit."""
        return self.config.get("budget", {}).get("forwards")


class Planner:
    """Makes jobs of overrides.

    Args:
        loader: Hydra's.
        master: the config of the sweep itself.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig):
        self.loader, self.master = loader, master
        self.deriver = Deriver(lambda key: loader.get_group_options(key) != [])
        self._number = 0  # of jobs whose directory was chosen
        typed = OmegaConf.to_container(master.hydra.overrides.hydra, resolve=False)  # ${hydra.job.num} is a job's
        self.own_subdir = any(str(override).startswith("hydra.sweep.subdir=") for override in cast(list, typed))

    def parse(self, arguments: Sequence[str]) -> list[Override]:
        """Overrides of the command line, with ``seeds=N`` become an axis of seeds, and without ``sweep.controls``.

        Raises:
            ConfigError: the seeds are no number, or given twice; the control arms are swept; a key has no values.
        """
        parser = OverridesParser.create(config_loader=self.loader)
        overrides = list(parser.parse_overrides(list(arguments)))
        number = self._seeds(overrides)
        refuse_empty(overrides)
        if any(override.key_or_group == CONTROLS and override.is_sweep_override() for override in overrides):
            raise ConfigError(f"{CONTROLS} is true, false or a list of names: type '{CONTROLS}=[<name>,<name>]'.")
        kept = [override for override in overrides if override.key_or_group not in ("seeds", CONTROLS)]
        if number is None:
            return kept
        if any(override.key_or_group == "seed" for override in kept):
            raise ConfigError("seed and seeds are both given: leave one of them out.")
        return [*kept, *parser.parse_overrides(["seed=" + ",".join(map(str, range(number)))])]

    def parse_space(self, overrides: Sequence[str]) -> list[Override]:
        """Overrides as they are."""
        return OverridesParser.create(config_loader=self.loader).parse_overrides(list(overrides))

    def is_group(self, override: Override) -> bool:
        """Whether an override chooses from a config group, such as ``strategy``."""
        return self.loader.get_group_options(override.key_or_group) != []

    def _seeds(self, overrides: Sequence[Override]) -> int | None:
        if any(override.key_or_group == "seeds" and override.is_sweep_override() for override in overrides):
            raise ConfigError("seeds is how many seeds there are, one number; to name them, type seed=3,5,8.")
        number = self.master.seeds
        at_least("", 1, seeds=number)
        between("", 1, JOBS, seeds=number)
        return number

    def job(self, overrides: list[str], varied: frozenset[str] = frozenset()) -> Job:
        """Compose a job.

        Args:
            overrides: of this job.
            varied: the keys that differ between jobs, for the label.
        """
        derived = None if self.own_subdir else self.deriver.derive(overrides)
        composed = self.loader.load_sweep_config(self.master, overrides) if derived is None else self.master
        chosen = self._chosen_directory(composed) if self.own_subdir else None
        try:
            config = self._values(overrides, composed, derived)
            targets.check(config, targets.granted())
            if config.get("rerun") is not None:
                raise ConfigError(f"rerun={config['rerun']} is one job, which a sweep does not change: leave -m out.")
            mark = fingerprint(config)
            label, name = _label(config, overrides, varied), _directory_name(config, mark)
            refused = None
        except HybridoptError as error:
            config, refused = {}, str(error)
            mark = hashlib.sha256("\n".join(sorted(overrides)).encode()).hexdigest()[:16]
            told = [override for override in overrides if override.partition("=")[0] in varied]
            label, name = " ".join(told or overrides), f"refused-{mark[:8]}"
        return Job(overrides, config, mark, label, Path(chosen or name), refused=refused)

    def _values(self, overrides: list[str], composed: DictConfig, derived: dict[str, Any] | None) -> dict[str, Any]:
        if derived is not None:
            checking.check(derived, whole=True)
            return derived
        values = plain(composed)
        self.deriver.keep(overrides, composed)
        return values

    def _chosen_directory(self, composed: DictConfig) -> str:
        with read_write(composed), open_dict(composed):
            composed.hydra.job.num = self._number  # as launchers do
        self._number += 1
        chosen = os.path.normpath(str(composed.hydra.sweep.subdir))
        if chosen == "." or chosen.startswith("..") or os.path.isabs(chosen):
            raise ConfigError(
                f"hydra.sweep.subdir names a folder for each job in that of the sweep, but is {chosen!r}: choose a "
                "name, such as '${strategy.name}-${seed}', or leave it out."
            )
        return chosen


def all_combinations(overrides: Iterable[Override]) -> list[list[str]]:
    """All combinations of swept values, as Hydra's own sweeper orders them: the last key varies fastest.

    Args:
        overrides: of each key; of several with one key the last one counts.

    Raises:
        ConfigError: a key is swept over an interval, which has no values to enumerate; there are too many jobs.
    """
    overrides = list(overrides)
    refuse_many(overrides)
    values = {override.get_key_element(): _values(override) for override in overrides}
    return [list(chosen) for chosen in product(*values.values())]


def compose_jobs(planner: Planner, combinations: Sequence[list[str]]) -> list[Job]:
    """The jobs of some combinations, each once.

    Raises:
        ConfigError: not one of them can run.
    """
    from tqdm import tqdm

    varied = varied_keys(combinations)
    shown = tqdm(combinations, desc="composing", unit=" jobs", leave=False, disable=len(combinations) < LARGE or None)
    jobs = list(unique(planner.job(overrides, varied) for overrides in shown))
    if len(jobs) < len(combinations):
        log.warning(
            "Left out, since they compute the same as others: %d of %d combinations.",
            *(len(combinations) - len(jobs), len(combinations)),
        )
    if jobs and all(job.refused for job in jobs):
        raise ConfigError(jobs[0].refused)
    return jobs


def _values(override: Override) -> list[str]:
    """An override for each value that it sweeps over; itself where it has one value."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line} has no values to enumerate: list them, {key}=<value>,<value>,"
            " or search the interval with hydra/sweeper=optuna."
        )
    return [f"{key}={value}" for value in override.sweep_string_iterator()]


def plain(composed: DictConfig) -> dict[str, Any]:
    """A composed job's own values, without Hydra's.

    Raises:
        ConfigError: see :func:`~hybridopt.composition.compose.plain_values`.
    """
    former = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(composed)  # for ${hydra:...}
    try:
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        return plain_values(composed)
    finally:
        HydraConfig.instance().cfg = former


def varied_keys(combinations: Sequence[Sequence[str]]) -> frozenset[str]:
    """The keys whose values differ between combinations."""
    values: dict[str, set[str]] = {}
    for overrides in combinations:
        for override in overrides:
            key, _, value = override.partition("=")
            values.setdefault(key, set()).add(value)
    return frozenset(key for key, seen in values.items() if len(seen) > 1)


def varied_values(combinations: Sequence[Sequence[str]]) -> list[list[str]]:
    """Of each combination, the values that tell it from others."""
    varied = varied_keys(combinations)
    split = [[override.partition("=")[::2] for override in overrides] for overrides in combinations]
    return [[value for key, value in pairs if key in varied] for pairs in split]


def unique(jobs: Iterable[Job]) -> Iterator[Job]:
    """Of jobs that compute the same, the first."""
    seen: set[str] = set()
    for job in jobs:
        if job.fingerprint not in seen:
            seen.add(job.fingerprint)
            yield job


def quoted(text: str) -> str:
    """A value for Hydra's grammar, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def sweep_id(name: str | None, parts: Iterable[str]) -> str:
    """The name of a sweep, or a hash of what it computes.

    Raises:
        ConfigError: the name cannot be a folder's.
    """
    if name is None:
        return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()[:12]
    if not NAME.fullmatch(name) or set(name) == {"."}:
        raise ConfigError(f"sweep.name names a folder, but is {name!r}: use letters, digits, '.', '_', '+' and '-'.")
    return name


def check_rerun(rerun: str) -> str:
    """Refuse another word than those there are."""
    if rerun not in RERUNS:
        raise ConfigError(f"sweep.rerun must be failed, all or none, but is {rerun!r}.")
    return rerun


def _label(config: dict[str, Any], overrides: Sequence[str], varied: frozenset[str]) -> str:
    given = {key: value for key, _, value in (override.partition("=") for override in overrides)}
    others = sorted(key for key in varied & given.keys() if key.lstrip("+") not in NAMED)
    return " · ".join([run_name(config), *(f"{key.lstrip('+').split('.', 1)[-1]}={given[key]}" for key in others)])


def _directory_name(config: dict[str, Any], mark: str) -> str:
    names = [building.name_of(config[kind]) for kind in ("strategy", "dataset")]
    return re.sub(r"[^\w.-]+", "_", f"{'-'.join(names)}-s{config['seed']}-{mark[:8]}")
