"""The composition root: a resolved config becomes objects, the objects a run, the run a result."""

from __future__ import annotations

import hashlib
import json
import logging
import resource
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, LightningDataModule, Trainer

from hybridopt import registry
from hybridopt.checkpoint import FILE, AtomicCheckpointIO, MarkCheckpoint, catching_signals
from hybridopt.dataset import replayable
from hybridopt.errors import ConfigError, Interrupted, ResumeError
from hybridopt.ledger import Budget
from hybridopt.progress import BudgetBar
from hybridopt.tracking.logger import TrackerLogger
from hybridopt.tracking.tracker import Tracker, deliver_leftovers, open_tracker
from hybridopt.trial import Trial

log = logging.getLogger(__name__)

CONFIG_FILE, RESULT_FILE = "config.yaml", "result.json"
PLUGINS = ("model", "dataset", "objective", "encoding", "strategy")
NOT_IN_FINGERPRINT = ("tracking", "resume")
SMALL_NETWORK = 100_000  # parameters


@dataclass
class Phase:
    """What one phase of a hybrid cost, and what validation said at its end."""

    name: str
    forwards: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class Result:
    """What a finished run leaves: the numbers of its table.

    Args:
        directory: where config, journal and checkpoint are.
        summary: metrics by name: best and final validation, test, costs, sparsity.
        phases: of a hybrid, in order.
        run_id: the MLflow run, or None.
        review: where that run is to be seen, or what to type to see it.
        undelivered: how many operations the tracking store has not taken yet.
    """

    directory: str
    summary: dict[str, float]
    phases: list[Phase]
    run_id: str | None = None
    review: str = ""
    undelivered: int = 0


def run(config: Mapping[str, Any], directory: Path, parent_run_id: str | None = None) -> Result:
    """Run a job, or go on with one.

    Args:
        config: plain values, resolved; ``resume`` set means: go on with the run in ``directory``, by its own config.
        directory: the run's directory.
        parent_run_id: the MLflow run of the sweep that this job is a part of.

    Raises:
        HybridoptError: a sentence for the user.
    """
    resume = config.get("resume") is not None
    if resume:
        config = read_config(directory)
        if (directory / RESULT_FILE).exists():
            return _finished(directory)
    with quiet():
        job = Job(config)
        if not resume:
            write_config(config, directory)
        tracker = open_tracker(
            config["tracking"], directory, run_name=run_name(config), parent_run_id=parent_run_id, resume=resume
        )
        with _settling(tracker, directory), threads(config["threads"], job.trial.model):
            result = job.run(directory, tracker, resume)
    result.undelivered = tracker.finish("FINISHED")
    return result


class Job:
    """The objects of one run, built from its config.

    Args:
        config: plain values, resolved.
    """

    def __init__(self, config: Mapping[str, Any]):
        self.config = config
        seed = config["seed"]
        if seed < 0:
            raise ConfigError(f"seed must not be negative, but is {seed}.")
        self.datamodule = self._build_data(seed)
        spec = self.datamodule.spec
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = registry.build("model", config["model"], spec=spec)
            objective = registry.build("objective", config["objective"], spec=spec)
            encoding = registry.build("encoding", config["encoding"], spec=spec)
            strategy = registry.build("strategy", config["strategy"], spec=spec)
        self.trial = Trial(
            model,
            objective,
            strategy,
            Budget(**config["budget"]),
            encoding=encoding,
            seed=seed,
            spec=spec,
            **config["oracle"],
        )

    def _build_data(self, seed: int) -> LightningDataModule:
        datamodule = registry.build("dataset", self.config["dataset"])
        datamodule.prepare_data()
        if not hasattr(datamodule, "spec"):
            datamodule.setup("fit")
        return replayable(datamodule, seed)

    def run(self, directory: Path, tracker: Tracker, resume: bool) -> Result:
        """Train, test once, and report."""
        tracker.set_tags(tags(self.config))
        tracker.log_params(flattened(self.config))
        tracker.log_artifact(directory / CONFIG_FILE)
        started = time.perf_counter()
        with catching_signals() as signals:
            trainer = self._trainer(directory, tracker, signals)
            checkpoint = directory / FILE
            found = resume and checkpoint.exists()
            trainer.fit(
                self.trial, datamodule=self.datamodule, ckpt_path=checkpoint if found else None, weights_only=True
            )
        trainer.test(self.trial, datamodule=self.datamodule, verbose=False)
        tracker.set_tags({f"hybridopt.{key}": value for key, value in self.trial.strategy.facts().items()})
        result = self._result(directory, tracker, time.perf_counter() - started)
        self._keep(result, directory, tracker, trainer)
        return result

    def _trainer(self, directory: Path, tracker: Tracker, signals: list[int]) -> Trainer:
        settings = dict(self.config["trainer"])
        chosen = [
            registry.build("callback", {"name": name, **(arguments or {})})
            for name, arguments in (settings.pop("callbacks", None) or {}).items()
        ]
        bar = settings.get("enable_progress_bar", True)
        own: list[Callback] = [BudgetBar()] if bar else []
        fixed: dict[str, Any] = {
            "callbacks": [*own, *chosen, MarkCheckpoint(directory, signals)],
            "logger": TrackerLogger(tracker, lambda: self.trial.ledger.forwards),
            "plugins": [AtomicCheckpointIO()],
            "default_root_dir": directory,
            "enable_checkpointing": any(type(callback).__name__ == "ModelCheckpoint" for callback in chosen),
            "use_distributed_sampler": False,  # the population is what is shared out, every rank sees every batch
        }
        defaults = {"max_epochs": 1, "num_sanity_val_steps": 0, "enable_model_summary": False}
        clashing = sorted(fixed.keys() & settings.keys())
        if clashing:
            raise ConfigError(f"trainer.{clashing[0]} is set by hybridopt itself: leave it out.")
        try:
            return Trainer(**(defaults | settings | fixed))
        except TypeError as error:
            raise ConfigError(f"Lightning's Trainer refuses the settings under trainer: {error}.") from error

    def _result(self, directory: Path, tracker: Tracker, wall: float) -> Result:
        trial, ledger = self.trial, self.trial.ledger
        final = trial.curve[-1][1] if trial.curve else {}
        best = {f"best/{name}": _best(name, [values[name] for _, values in trial.curve]) for name in final}
        summary = {
            **{f"final/{name}": value for name, value in final.items()},
            **best,
            **trial.tested,
            "cost/forwards": ledger.forwards,
            "cost/evaluations": ledger.evaluations,
            "cost/seconds": ledger.seconds,
            "cost/wall_seconds": wall,
            "cost/overshoot": max(0.0, ledger.progress - 1),
            "cost/peak_memory_mb": peak_memory(),
            "model/parameters": sum(parameter.numel() for parameter in trial.model.parameters()),
            "model/sparsity": sparsity(trial.model),
        }
        phases = [
            Phase(name, phase.forwards, phase.seconds, trial.phase_ends.get(name, {}))
            for name, phase in ledger.phases.items()
        ]
        return Result(str(directory), summary, phases, tracker.run_id, tracker.url)

    def _keep(self, result: Result, directory: Path, tracker: Tracker, trainer: Trainer) -> None:
        tracker.log_metrics(result.summary, self.trial.ledger.forwards)
        if trainer.fast_dev_run:
            return
        write_json(directory / RESULT_FILE, asdict(result))
        for file in (directory / RESULT_FILE, directory / FILE):
            if file.exists():
                tracker.log_artifact(file)
        tracker.log_artifact(plot_curve(self.trial.curve, directory / "curve.png"))
        if self.config["tracking"].get("log_model"):
            from hybridopt.tracking.model import save_model

            sample = next(iter(self.datamodule.test_dataloader()))[0][:2]
            saved = save_model(self.trial.model, sample.cpu(), directory / "model")
            if saved is not None:
                tracker.log_artifact(saved)


@contextmanager
def _settling(tracker: Tracker, directory: Path) -> Iterator[None]:
    """Close the tracked run with the right status, whatever happens inside."""
    try:
        yield
    except Interrupted:
        tracker.finish("KILLED")
        raise
    except BaseException as error:
        trace = directory / "traceback.txt"
        trace.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        tracker.log_artifact(trace)
        tracker.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise


def _finished(directory: Path) -> Result:
    """A run that had finished: its result, and what the store had not taken yet is sent."""
    stored = json.loads((directory / RESULT_FILE).read_text(encoding="utf-8"))
    stored["phases"] = [Phase(**phase) for phase in stored["phases"]]
    stored["undelivered"] = deliver_leftovers(directory)
    return Result(**stored)


# -- config and identity ----------------------------------------------------------------------------------------------


def read_config(directory: Path) -> dict[str, Any]:
    """The config of the run in a directory.

    Raises:
        ResumeError: there is no run.
    """
    file = directory / CONFIG_FILE
    if not file.exists():
        raise ResumeError(
            f"There is no run to resume in {directory}: type resume=<the directory of a run, or its MLflow run id>."
        )
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def write_config(config: Mapping[str, Any], directory: Path) -> None:
    """Keep the resolved config, from which the run can be repeated and resumed."""
    directory.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    (directory / CONFIG_FILE).write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a file that is whole or not there."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1), encoding="utf-8")
    partial.replace(path)


def fingerprint(config: Mapping[str, Any]) -> str:
    """A short hash of what a run computes: its config without paths and tracking."""
    relevant = {key: value for key, value in config.items() if key not in NOT_IN_FINGERPRINT}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()[:16]


def run_name(config: Mapping[str, Any]) -> str:
    """How the run is listed: strategy, data set, model, seed."""
    return f"{config['strategy']['name']}-{config['dataset']['name']}-{config['model']['name']}-s{config['seed']}"


def tags(config: Mapping[str, Any]) -> dict[str, str]:
    """What a run can be searched by."""
    named = {f"hybridopt.{kind}": config[kind]["name"] for kind in PLUGINS}
    plugins = {
        f"hybridopt.plugin.{path}": where
        for kind in PLUGINS
        for path, where in registry.provenances(kind, config[kind]).items()
    }
    return named | plugins | {"hybridopt.seed": str(config["seed"]), "hybridopt.fingerprint": fingerprint(config)}


def flattened(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping) and value
        flat |= flattened(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return flat


@contextmanager
def threads(setting: str | int, model: torch.nn.Module) -> Iterator[None]:
    """Run with this number of CPU threads inside.

    Args:
        setting: a number, or "auto": one for small networks, which gain nothing from a second and lose much where
            cores are shared; torch's default for others. It depends on the network alone, since the number of threads
            shows in the last digits of results.
        model: the network.
    """
    if setting != "auto" and not (isinstance(setting, int) and setting > 0):
        raise ConfigError(f"threads must be auto or a positive whole number, but is {setting!r}.")
    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) < SMALL_NETWORK
    torch.set_num_threads(setting if setting != "auto" else 1 if small else before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- small measurements -----------------------------------------------------------------------------------------------


def sparsity(model: torch.nn.Module) -> float:
    """The share of exact zeros among the weights (parameters of two or more dimensions)."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    total = sum(weight.numel() for weight in weights)
    return sum(int((weight == 0).sum()) for weight in weights) / total if total else 0.0


def peak_memory() -> float:
    """The process's peak resident memory, or the GPU's, in MB."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _best(name: str, values: list[float]) -> float:
    lower_is_better = name.rpartition("/")[2] in ("loss", "mae", "mse")
    return min(values) if lower_is_better else max(values)


def plot_curve(curve: list[tuple[int, dict[str, float]]], path: Path) -> Path:
    """Validation metrics over forwards, as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    steps = [step for step, _ in curve]
    for name in curve[-1][1] if curve else ():
        axes.plot(steps, [values[name] for _, values in curve], label=name)
    axes.set(xlabel="forwards", xscale="log" if len(steps) > 1 else "linear")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=110)
    return path


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's advertisements and its advice on what is meant to be as it is go unsaid."""
    lightning = logging.getLogger("pytorch_lightning")
    level = lightning.level
    lightning.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for said in UNSAID:
                warnings.filterwarnings("ignore", message=said)
            yield
    finally:
        lightning.setLevel(level)


UNSAID = (
    ".*configure_optimizers.*returned .None.*",  # a search has no optimiser
    ".*does not have many workers.*",  # data is in memory
    ".*model_checkpoint.*",
    ".*Consider setting `persistent_workers=True`.*",
    ".*LeafSpec.*",  # Lightning 2.6 with torch 2.13
)
