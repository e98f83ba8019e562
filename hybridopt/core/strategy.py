"""What trains: the contract of every strategy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from hybridopt.core.encoding import Encoding
from hybridopt.core.handover import Handover
from hybridopt.core.objective import Batch
from hybridopt.core.oracle import Oracle
from hybridopt.engine.buffers import LateBuffers

Record = Mapping[str, float | Tensor]
"""Scalars of a step by name, to be logged; "loss" is the training loss."""

Parts = Mapping[str, "tuple[Strategy, Encoding]"]


class Strategy(LateBuffers, ABC):
    """What trains a network: a search, a gradient method, or a hybrid of strategies.

    All state that must survive a checkpoint is in buffers, in the optimisers of :meth:`optimizers`, or in
    ``get_extra_state`` (tensors and plain values only). A buffer may change its shape from step to step, and may be
    registered late: loading a checkpoint brings back the buffers as they were.

    Class attributes:
        requires: what the strategy needs. Of the oracle's answers: "losses", "outputs", "gradient", "jvp", "jacobian",
            "activations". Of the setting: "objectives" (several of them), "direct" (it works on the parameters
            themselves, in no encoding), "loss_slope" (a loss that is differentiable by the outputs). Checked for each
            phase before anything runs.
        hands_over: the fields of :class:`Handover` that the strategy gives to the next phase of a hybrid.
        takes: those that it uses where the phase before gives them.
        search_space: what is worth tuning: settings, each with its values in Hydra's grammar of sweeps, such as
            ``{"sigma": "tag(log, interval(0.01, 1.0))"}``. ``hydra/sweeper=optuna`` searches them. A plugin that is a
            function has it as an attribute.
        showcase: overrides with which the strategy is at its best on digits, for the guide in docs/methods.md.
        recommends_mean: whether what it recommends is a mean of networks, to which the running statistics of batch
            normalisation that these have learned do not belong; the trial then estimates them, and charges for it.
        in_place: of a search: whether ``start`` keeps x0 itself, ``recommend`` gives that tensor for the whole run, and
            ``tell`` alone changes it, in place. A large network then has its parameters in the same memory.
    """

    requires: ClassVar[frozenset[str]]
    hands_over: ClassVar[frozenset[str]] = frozenset()
    takes: ClassVar[frozenset[str]] = frozenset()
    search_space: ClassVar[Mapping[str, str]] = {}
    showcase: ClassVar[tuple[str, ...]] = ()
    recommends_mean: ClassVar[bool] = False
    in_place: ClassVar[bool] = False

    def attach(self, oracle: Oracle) -> None:
        """Bind to an oracle: views, layouts, optimisers; refuse what cannot work.

        Called in each process before the first step, after each load of a checkpoint, and at each turn of a phase. It
        makes no state, draws nothing and changes nothing; optimisers are made at the first call and kept.

        Raises:
            ConfigError: the strategy cannot work with this network or objective.
        """
        return

    def begin(self, oracle: Oracle, batch: Batch) -> None:
        """Make the first state: called once, just before the first step, with the batch of that step.

        ``oracle.start`` is where to start, ``oracle.inherited`` what the phase before has handed over.
        """
        return

    @classmethod
    def controls(cls, settings: Mapping[str, Any]) -> Mapping[str, tuple[str, ...]]:
        """The arms that show what each part of a hybrid contributes, at equal cost: name -> overrides of the same job.

        ``"strategy=@finetune"`` puts a part of the strategy, with its settings, in the place of the whole: the one at
        ``strategy.finetune``. The names read as what is left out: "without the search". ``sweep.controls=true`` runs
        them in a sweep.

        Args:
            settings: of the strategy, as its part of a job's config has them.
        """
        return {}

    @abstractmethod
    def step(self, oracle: Oracle, batch: Batch) -> Record:
        """One iteration.

        Args:
            oracle: the one that was attached.
            batch: inputs and targets, on the device.

        Returns:
            Scalars to log by name; "loss" is the training loss.
        """

    def recommend(self) -> Tensor | None:
        """The current best guess (d,), in the attached oracle's coordinates; None for the model as it stands."""
        return None

    def front(self) -> Tensor | None:
        """Of a run with several objectives the trade-offs that were found (m, d), in the attached oracle's coordinates.

        None where there is but the recommendation; the front then is what is recommended on the way.
        """
        return None

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """The torch optimisers that :meth:`attach` made, whose state the Trainer keeps; step by ``oracle.update``."""
        return []

    def finished(self) -> bool:
        """Whether there is nothing left to do: a phase ends before its share is spent, a run before its budget."""
        return False

    def phase_over(self) -> bool:
        """Whether a phase inside has ended with the last step, so that it is validated before the next one begins."""
        return False

    def handover(self) -> Handover:
        """What the next phase of a hybrid may use."""
        return Handover()

    def parts(self, encoding: Encoding) -> Parts:
        """The strategies inside, by their place in the config, each with the encoding that it works in.

        Args:
            encoding: the one that this strategy works in.
        """
        return {}

    def artifacts(self, folder: Path) -> None:
        """Write what is worth keeping besides the weights, such as an archive and its picture.

        Called once after the test, on the first rank; the files are kept with the run, in MLflow under ``artifacts``.

        Args:
            folder: exists, and is empty.
        """
        return

    def facts(self) -> Mapping[str, str]:
        """What is worth a tag on the run and shows only at run time, such as a concrete algorithm that was chosen."""
        return {}
