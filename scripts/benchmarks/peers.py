"""The contenders of `bench_peers.py`: this project's strategies, EvoTorch, EvoX and nevergrad, each on the same task.

A contender that needs a package which is missing raises ModuleNotFoundError.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import benchlib
import torch
from benchlib import Case, Variant, Work, mlp
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

SIGMA, LR, RANK = 0.05, 0.02, 1


@dataclass(frozen=True)
class Task:
    """The same for everybody.

    Args:
        label: what tables call it.
        model: the network, with the weights that all start from.
        batch: inputs and targets.
        popsize: members.
    """

    label: str
    model: nn.Module
    batch: tuple[Tensor, Tensor]
    popsize: int

    @property
    def device(self) -> torch.device:
        """Where all of it is."""
        return self.batch[0].device

    @property
    def start(self) -> Tensor:
        """The weights as one vector."""
        return parameters_to_vector(self.model.parameters()).detach().clone()

    @property
    def loss(self) -> float:
        """The loss of these weights."""
        with torch.no_grad():
            return F.cross_entropy(self.model(self.batch[0]), self.batch[1]).item()


@dataclass(frozen=True)
class Contender:
    """A library at work on a task.

    Args:
        case: one generation, or several.
        loss: the start's loss, by the library's own way of evaluating.
        generations: how many a call of ``case`` makes.
        threads: CPU threads that it is bound to; None where torch's setting holds.
    """

    case: Case
    loss: Callable[[], float]
    generations: int = 1
    threads: int | None = None


def tasks(quick: bool, device: str) -> list[Task]:
    """The default job's network, and a larger one."""
    sizes = [("MLP 64-32-10", 64, [32], 128, 256), ("MLP 784-300-100-10", 784, [300, 100], 64, 128)]
    if quick:
        sizes = [(label, inputs, hidden, 8, 16) for label, inputs, hidden, _, _ in sizes]
    torch.manual_seed(0)
    return [
        Task(label, mlp(inputs, hidden, device), benchlib.random_batch((inputs,), batch, device), popsize)
        for label, inputs, hidden, popsize, batch in sizes
    ]


# -- here --------------------------------------------------------------------------------------------------------------


def here(variant: Variant) -> Callable[[Task], Contender]:
    """A strategy of this project."""

    def enter(task: Task) -> Contender:
        if not variant.offered:
            raise ModuleNotFoundError(f"the installed hybridopt has no {variant.label}", name="hybridopt")
        work = Work(variant, copy.deepcopy(task.model), task.batch, task.popsize)
        return Contender(work, lambda: work.oracle.losses(task.start.expand(2, -1), task.batch)[0].item())

    return enter


# -- EvoTorch ----------------------------------------------------------------------------------------------------------


def supervised(task: Task) -> Any:
    """EvoTorch's own problem class for supervised learning: networks one by one."""
    from evotorch.neuroevolution import SupervisedNE

    class OneBatch(SupervisedNE):
        def _make_dataloader(self) -> list[tuple[Tensor, Tensor]]:
            return [task.batch]

    device = task.device
    return OneBatch(None, lambda: copy.deepcopy(task.model), F.cross_entropy, device=device)


def searching(make: Callable[[Any, Task], Any]) -> Callable[[Task], Contender]:
    """One of EvoTorch's search algorithms on its problem class."""

    def enter(task: Task) -> Contender:
        problem = supervised(task)

        def loss() -> float:
            batch = problem.generate_batch(1)
            batch.set_values(task.start[None])
            problem.evaluate(batch)
            return float(batch.evals[0, 0])

        return Contender(make(problem, task).step, loss)

    return enter


def evotorch_pgpe(problem: Any, task: Task) -> Any:
    from evotorch.algorithms import PGPE

    return PGPE(
        problem,
        popsize=task.popsize,
        center_learning_rate=LR,
        stdev_learning_rate=0.1,
        stdev_init=SIGMA,
        center_init=task.start,
        optimizer="adam",
    )


def evotorch_snes(problem: Any, task: Task) -> Any:
    from evotorch.algorithms import SNES

    return SNES(problem, stdev_init=SIGMA, popsize=task.popsize, center_init=task.start)


def evotorch_cmaes(problem: Any, task: Task) -> Any:
    from evotorch.algorithms import CMAES

    return CMAES(problem, stdev_init=SIGMA, popsize=task.popsize, center_init=task.start, separable=True)


def evotorch_functional(task: Task) -> Contender:
    """EvoTorch's functional PGPE over a vmapped network."""
    from evotorch.algorithms.functional import pgpe, pgpe_ask, pgpe_tell
    from evotorch.neuroevolution.net import make_functional_module

    network = make_functional_module(copy.deepcopy(task.model), disable_autograd_tracking=True)
    inputs, targets = task.batch
    losses = torch.vmap(lambda vector: F.cross_entropy(network(vector, inputs), targets))
    state = pgpe(
        center_init=task.start,
        center_learning_rate=LR,
        stdev_learning_rate=0.1,
        stdev_init=SIGMA,
        objective_sense="min",
        optimizer="adam",
    )

    @torch.no_grad()
    def generation() -> None:
        nonlocal state
        population = pgpe_ask(state, popsize=task.popsize)
        state = pgpe_tell(state, population, losses(population))

    return Contender(generation, lambda: losses(task.start[None]).item())


# -- EvoX --------------------------------------------------------------------------------------------------------------


def evox_openes(task: Task, compiled: bool = False) -> Contender:
    """EvoX's OpenES on its vmapped supervised problem."""
    from evox.algorithms import OpenES
    from evox.problems.neuroevolution.supervised_learning import SupervisedLearningProblem
    from evox.utils import ParamsAndVector
    from evox.workflows import StdWorkflow

    device, model = task.device, copy.deepcopy(task.model).requires_grad_(False)
    adapter = ParamsAndVector(model)
    criterion = nn.CrossEntropyLoss(reduction="none")
    problem = SupervisedLearningProblem(model, [task.batch], criterion, pop_size=task.popsize, device=device)
    algorithm = OpenES(task.popsize, task.start, LR, SIGMA, optimizer="adam", device=device)
    workflow = StdWorkflow(algorithm, problem, solution_transform=adapter, device=device)
    everybody = adapter.batched_to_params(task.start.repeat(task.popsize, 1))
    step = torch.compile(workflow.step) if compiled else workflow.step
    return Contender(torch.no_grad()(step), lambda: problem.evaluate(everybody)[0].item())


def evox_compiled(task: Task) -> Contender:
    """The same through torch.compile, as EvoX recommends."""
    return evox_openes(task, compiled=True)


def evox_lora(task: Task) -> Contender:
    """EvoX's low-rank ES; its problem class knows linear layers and activations, no Flatten."""
    from evox.algorithms.so.es_variants.virtual_lora_es import VirtualLoRAES
    from evox.problems.neuroevolution.virtual_lora_problem import VirtualLoRAProblem
    from evox.workflows import StdWorkflow

    device, model = task.device, copy.deepcopy(task.model).requires_grad_(False)
    layers = nn.Sequential(*(layer for layer in model if not isinstance(layer, nn.Flatten)))
    criterion = nn.CrossEntropyLoss(reduction="none")
    problem = VirtualLoRAProblem(layers, [task.batch], criterion, RANK, device=device)
    shapes = [tuple(parameter.shape) for parameter in layers.parameters()]
    algorithm = VirtualLoRAES(shapes, RANK, task.popsize, task.start, LR, SIGMA, optimizer="adam", device=device)
    workflow = StdWorkflow(algorithm, problem, device=device)
    seeds = torch.zeros(2, dtype=torch.int64, device=device)
    return Contender(torch.no_grad()(workflow.step), lambda: problem.evaluate((task.start, seeds, 0.0))[0].item())


# -- nevergrad ---------------------------------------------------------------------------------------------------------


def nevergrad_loop(task: Task) -> Contender:
    """nevergrad as its documentation has it: ask, evaluate and tell one by one."""
    import nevergrad as ng

    model = copy.deepcopy(task.model)
    start = ng.p.Array(init=task.start.double().cpu().numpy()).set_mutation(sigma=SIGMA)
    optimizer = ng.optimizers.DiagonalCMA(start, budget=10**9, num_workers=task.popsize)

    @torch.no_grad()
    def loss(vector: Any) -> float:
        vector_to_parameters(torch.as_tensor(vector).to(task.start), model.parameters())
        return F.cross_entropy(model(task.batch[0]), task.batch[1]).item()

    def generation() -> None:
        for candidate in [optimizer.ask() for _ in range(task.popsize)]:
            optimizer.tell(candidate, loss(candidate.value))

    return Contender(generation, lambda: loss(task.start.cpu().numpy()))
