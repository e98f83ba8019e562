"""What a run came to: its numbers, and their picture."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from hybridopt.engine.memory import peak_memory
from hybridopt.engine.weights import sparsity
from hybridopt.execution.directory import PREPROCESSING, RESULT_FILE
from hybridopt.execution.divergence import Mark, mark_of, not_finite
from hybridopt.execution.evaluation import best
from hybridopt.execution.table import html
from hybridopt.execution.trial import Trial
from hybridopt.toolbox.figures import new_figure
from hybridopt.tracking.checked import config_digest, json_of, read_checked
from hybridopt.tracking.files import replacing, write_atomically

CONFIG, CHECKSUM = "config_sha256", "sha256"  # in the file: of the run's config, and of everything else in it
POSITION = "journal"  # likewise: the position of the journal


@dataclass
class Phase:
    """What one phase of a hybrid cost, and what validation said at its end."""

    name: str
    forwards: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass
class Result:
    """What a finished run leaves: the numbers of its table; in a notebook it shows itself as that table.

    Args:
        directory: where config, journal and checkpoint are.
        summary: metrics by name: best and final validation, test, costs, sparsity.
        phases: of a hybrid, in order.
        curve: (forwards, validation metrics by name), one for each mark.
        run_id: the MLflow run, or None.
        review: where that run is to be seen, or what to type to see it.
        undelivered: how many operations the tracking store has not taken yet.
        network: that of :attr:`module`, or what builds it; None where the result was only read.
    """

    directory: str
    summary: dict[str, int | float]
    phases: list[Phase]
    curve: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    run_id: str | None = None
    review: str = ""
    undelivered: int = 0
    network: nn.Module | Callable[[], nn.Module] | None = field(default=None, repr=False, compare=False)

    __pydantic_config__: ClassVar = {"arbitrary_types_allowed": True}  # the network, which is in no file

    @property
    def module(self) -> nn.Module | None:
        """The trained network, with the parameters that were tested; of a run that had finished before, built again.

        Raises:
            HybridoptError: it cannot be built any more.
        """
        if self.network is not None and not isinstance(self.network, nn.Module):
            self.network = self.network()
        return self.network

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What raw inputs go through before the network has them, and what its outputs stand for.

        As the data set says it (:meth:`~hybridopt.core.data.DataModule.preprocessing`); empty where it says nothing.

        Raises:
            ResumeError: the file that holds it is damaged.
        """
        path = Path(self.directory) / PREPROCESSING
        if not path.exists():
            return {}
        return read_checked(path, json_of(dict[str, Any]), "take it from the artifacts of the run in MLflow")

    @property
    def metrics(self) -> dict[str, float]:
        """The test metrics, and those of validation at the last mark, by name."""
        last = self.curve[-1][1] if self.curve else {}
        return last | {name: value for name, value in self.summary.items() if name.startswith("test/")}

    @property
    def diverged(self) -> list[str]:
        """The losses at the end, of validation and test, that are no finite numbers."""
        return not_finite(self.summary)

    @property
    def mark(self) -> Mark | None:
        """What is wrong with the numbers of a run that has diverged, or whose loss has grown; None of any other."""
        return mark_of(self.summary)

    def save(self, journal_position: str | None = None) -> Path:
        """Write the file without which no run has finished; it is whole or not there.

        Args:
            journal_position: how far the run's journal has come, see :mod:`hybridopt.tracking.checksums`.
        """
        path = Path(self.directory) / RESULT_FILE
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.name != "network"}
        values["phases"] = [asdict(phase) for phase in self.phases]
        values |= {CONFIG: config_digest(path.parent), POSITION: journal_position}
        values = _as_json(values)
        write_atomically(path, json.dumps(values | {CHECKSUM: _checksum(values)}, indent=1, allow_nan=False))
        return path

    @classmethod
    def load(cls, directory: Path) -> Result:
        """The result of a finished run.

        Raises:
            ResumeError: it is damaged.
        """
        remedy = f"delete it, and type hybridopt resume={directory} to have it made again from the last checkpoint"
        return read_checked(directory / RESULT_FILE, cls._parse, remedy)

    @classmethod
    def _parse(cls, path: Path) -> Result:
        """What a file says whose numbers are those that were written, and of the run that is beside it."""
        result, values = json_of(cls)(path), json.loads(path.read_bytes())
        if values.pop(CHECKSUM, None) not in (None, _checksum(values)):
            raise ValueError("its numbers are not those of its checksum")
        if values.get(CONFIG) not in (None, "", config_digest(path.parent)):
            raise ValueError("it is another run's")
        return result

    def _repr_html_(self) -> str:
        return html(self)


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _as_json(value: Any) -> Any:
    """Plain values, with texts for the numbers that JSON does not have, such as "nan", which float() reads back."""
    if isinstance(value, dict):
        return {key: _as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def summarise(trial: Trial, wall: float) -> dict[str, float]:
    """The metrics of a finished trial by name; ``wall`` is the time from start to end of its training, in seconds."""
    ledger = trial.ledger
    final = trial.curve[-1][1] if trial.curve else {}
    return {
        **{f"final/{name}": value for name, value in final.items()},
        **best(trial.curve, trial.directions),
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


def phases(trial: Trial) -> list[Phase]:
    """What the phases of a hybrid cost, in order, and what validation said at the end of each.

    A phase that is a hybrid is followed by its own phases, named "first/a".
    """
    return [
        Phase(path, phase.forwards, phase.seconds, trial.phase_ends.get(path, {}))
        for path, phase in trial.ledger.tree().items()
    ]


def plot_curve(curve: list[tuple[int, dict[str, float]]], path: Path) -> Path:
    """Validation metrics over forwards, as a picture.

    Ticks and margins are the plain ones: exponents, minor ticks and a layout to measure would be three times the work,
    more than a small job takes to train.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    figure = new_figure(figsize=(6, 4))
    figure.subplots_adjust(left=0.14, right=0.96, bottom=0.13, top=0.96)
    axes = figure.subplots()
    steps = [step for step, _ in curve]
    for name in curve[-1][1] if curve else ():
        axes.plot(steps, [values[name] for _, values in curve], label=name)
    axes.set_xlabel("forwards")
    if len(steps) > 1:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if steps[-1] < 1000 * max(1, steps[0]) else (1,)))
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    return path
