"""What a study is: a claim, the arms that test it, and the rule of its verdict, which is fixed before anything runs."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from hybridopt.errors import PluginError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["supported", "refuted", "mixed", "not distinguishable"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)
FIRST_SEED = 100  # of those that judge; whoever designs a study looks at lower ones
Cell = Mapping[str, Any]  # plain values: the arguments of a computation, or what it gives


@dataclass(frozen=True)
class Profile:
    """How large a study is.

    Args:
        seeds: of each arm.
        minutes: that it takes on two cores, as measured.
        trials: of tuning, for each arm that is tuned; 0 takes settings as they stand.
        judges: seeds by whose mean a trial is judged; none of them is among ``seeds``.
        sizes: whatever else of the study depends on it, by name.
    """

    seeds: int
    minutes: float
    trials: int = 0
    judges: int = 1
    sizes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fresh(self) -> range:
        """The seeds of the arms."""
        return range(FIRST_SEED, FIRST_SEED + self.seeds)


@dataclass(frozen=True)
class Arm:
    """What is run once for each seed.

    Args:
        overrides: of the job, as a user types them, without the seed.
        tuned: whether what its strategy declares is tuned before, by the profile's trials.
        tuned_for: the metric by which trials are judged: minimised if it is a loss, else maximised.
        settings_of: the name of another arm, whose tuned settings this one takes.
    """

    overrides: tuple[str, ...]
    tuned: bool = False
    tuned_for: str = "final/val/loss"
    settings_of: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run of an arm came to.

    Args:
        seed: the job's.
        metrics: those that the study keeps, and ``cost/forwards`` and ``cost/seconds``, by name.
        curve: (forwards, metric) at the marks of the budget, where the study keeps one.
        diverged: whether it ended in numbers that are not finite.
    """

    seed: int
    metrics: Mapping[str, float]
    curve: Sequence[tuple[float, float]] = ()
    diverged: bool = False


@dataclass(frozen=True)
class Tuned:
    """What the tuning of an arm came to.

    Args:
        overrides: the best trial's.
        trials: how many there were.
        forwards: what they cost in all.
    """

    overrides: Sequence[str]
    trials: int
    forwards: float


@dataclass(frozen=True)
class Results:
    """All that a study has measured; its verdict, tables and figure come from nothing else.

    Args:
        profile: the name of the profile.
        arms: name -> outcomes, one for each seed that finished.
        cells: name of a computation -> what it gave.
        tuned: arm -> its tuning.
        missing: jobs that have not finished, in words.
        settings: of the study, where it has some.
        provenance: when, where, by which version and how long; plain values.
    """

    profile: str
    arms: Mapping[str, Sequence[Outcome]] = field(default_factory=dict)
    cells: Mapping[str, Cell] = field(default_factory=dict)
    tuned: Mapping[str, Tuned] = field(default_factory=dict)
    missing: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def values(self, arm: str, metric: str, higher: bool = False) -> dict[str, float]:
        """A metric by seed; infinitely bad where a run has diverged.

        Args:
            arm: its name.
            metric: one of those that the study keeps.
            higher: whether more of it is better.
        """
        worst = -math.inf if higher else math.inf
        return {str(run.seed): worst if run.diverged else run.metrics[metric] for run in self.arms.get(arm, ())}

    @property
    def forwards(self) -> float:
        """What all runs have cost, tuning included."""
        runs = sum(run.metrics.get("cost/forwards", 0.0) for arm in self.arms.values() for run in arm)
        return runs + sum(tuned.forwards for tuned in self.tuned.values())


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Args:
        head: of its columns.
        rows: as many texts each.
        title: what it shows, or nothing.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""


@dataclass(frozen=True)
class Judgement:
    """What a study says.

    Args:
        verdict: on the claim, by the rule.
        found: the sentences that bear it out, with their numbers.
        tables: what was measured.
        numbers: by name, for pages that quote them.
    """

    verdict: Verdict
    found: Sequence[str]
    tables: Sequence[Table] = ()
    numbers: Mapping[str, float] = field(default_factory=dict)


class Study(ABC):
    """A claim, and the experiment that tests it.

    A study trains arms (:meth:`arms`), computes cells (:meth:`cells`, :meth:`compute`), or both; :meth:`judge` then
    gives the verdict by the rule that :attr:`rule` says in words. Its docstring says why the experiment is as it is.
    Settings are the arguments of its constructor, as those of any plugin, each with a default.

    Class attributes:
        number: of the claim, in the thread that the project answers; None for others.
        claim: what is claimed, as it was said.
        said_by: who says so, and where.
        rule: what supports the claim, what refutes it, and what is neither.
        profiles: name -> how large it is; ``smoke`` shows in seconds that it runs, ``docs`` is what the pages show, and
            ``full`` is as good as it gets.
        metrics: what is kept of each run, such as ``test/loss``.
        curve: the validation metric that is kept at each mark of the budget, such as ``val/loss``; None for none.
        base: overrides that all arms share.
    """

    number: ClassVar[int | None] = None
    claim: ClassVar[str]
    said_by: ClassVar[str]
    rule: ClassVar[str]
    profiles: Mapping[str, Profile]
    metrics: Sequence[str] = ("test/loss",)
    curve: ClassVar[str | None] = None
    base: ClassVar[Sequence[str]] = ()

    def arms(self, profile: Profile) -> Mapping[str, Arm]:
        """What is trained, by name; every arm runs with each of ``profile.fresh`` as its seed."""
        return {}

    def cells(self, profile: Profile) -> Mapping[str, Cell]:
        """What is computed besides, by name: the arguments of :meth:`compute`, plain values that JSON holds."""
        return {}

    def compute(self, **cell: Any) -> Cell:
        """One cell, by one thread; it depends on its arguments alone (draw from generators that are seeded by them).

        Returns:
            Plain values that JSON holds.

        Raises:
            PluginError: the study has cells, and does not say what to compute.
        """
        raise PluginError(f"{type(self).__name__} has cells, and does not say what to compute: write its compute.")

    @abstractmethod
    def judge(self, results: Results) -> Judgement:
        """The verdict. It reads nothing but the results, and gives the same for the same."""

    def draw(self, results: Results) -> Figure | None:
        """The figure; None for none."""
        return None

    @classmethod
    def purpose(cls) -> str:
        """The docstring, without what it says of the settings."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n\nArgs:")[0]
