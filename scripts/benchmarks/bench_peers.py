"""What a generation costs here, in EvoTorch, in EvoX and in nevergrad's own loop.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install -e . -e plugins/hybridopt-cma -r scripts/benchmarks/bench_peers.requirements.txt \
        -c scripts/constraints.txt
    /tmp/peers/bin/python scripts/benchmarks/bench_peers.py --json peers.json --picture peers.png

All train the same network from the same weights on the same batch with the same number of members, in turn, in one
process, with one thread and with all of them (the better counts). Before that each must give the same loss for the
same weights. Data loaders are spared: each library gets the batch ready made, through the hook that it has for that.

A generation is what the library's own step does: noise, evaluation, update. The algorithms of a family do the same
work, up to details: PGPE adapts its widths, where openai_es and OpenES have one; nevergrad's strategy here evaluates
its incumbent besides. Rows that need a package which is missing are left out, and said so.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import benchlib
import torch
from benchlib import DENSE, EGGROLL, LOOP, SEEDED, Case, Rows, Variant, Work, interleaved, median_ratio, mlp
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

PACKAGES = ("hybridopt", "torch", "numpy", "evotorch", "evox", "nevergrad")
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
        generation: one step.
        loss: the start's loss, by the library's own way of evaluating.
    """

    generation: Case
    loss: Callable[[], float]


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

    device = task.batch[0].device
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

    device, model = task.batch[0].device, copy.deepcopy(task.model).requires_grad_(False)
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

    device, model = task.batch[0].device, copy.deepcopy(task.model).requires_grad_(False)
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


# -- the contest -------------------------------------------------------------------------------------------------------

CONTENDERS: dict[tuple[str, str], Callable[[Task], Contender]] = {  # (family, label); ours is the first of a family
    ("full noise", "hybridopt openai_es"): here(DENSE),
    ("full noise", "hybridopt openai_es, seeded"): here(SEEDED),
    ("full noise", "hybridopt openai_es, loop"): here(LOOP),
    ("full noise", "EvoTorch PGPE, SupervisedNE"): searching(evotorch_pgpe),
    ("full noise", "EvoTorch SNES, SupervisedNE"): searching(evotorch_snes),
    ("full noise", "EvoTorch PGPE, functional, vmap"): evotorch_functional,
    ("full noise", "EvoX OpenES"): evox_openes,
    ("full noise", "EvoX OpenES, compiled"): evox_compiled,
    ("low rank", "hybridopt eggroll"): here(EGGROLL),
    ("low rank", "EvoX VirtualLoRAES"): evox_lora,
    ("diagonal CMA", "hybridopt-cma sep_cma_es"): here(Variant("hybridopt-cma sep_cma_es", "sep_cma_es")),
    ("diagonal CMA", "hybridopt nevergrad DiagonalCMA"): here(Variant("nevergrad DiagonalCMA", "nevergrad")),
    ("diagonal CMA", "nevergrad DiagonalCMA, own loop"): nevergrad_loop,
    ("diagonal CMA", "EvoTorch CMAES, separable"): searching(evotorch_cmaes),
}


def entered(task: Task, without: list[str]) -> dict[tuple[str, str], Contender]:
    """Those whose packages are there, and who agree on the start's loss."""
    contenders = {}
    for (family, label), enter in CONTENDERS.items():
        if any(word in label for word in without):
            continue
        try:
            contender = enter(task)
        except ModuleNotFoundError as error:
            needed = "scripts/benchmarks/bench_peers.requirements.txt"
            print(f"{label} is left out: {error}. See {needed}.", file=sys.stderr)
            continue
        if abs(contender.loss() - task.loss) > 1e-4:
            sys.exit(f"{label} gives the start a loss of {contender.loss():.6f}, but it is {task.loss:.6f}.")
        contenders[family, label] = contender
    return contenders


def contest(task: Task, arguments: argparse.Namespace) -> Rows:
    """A row for each contender: milliseconds, and how many times the first of its family it takes."""
    contenders = entered(task, arguments.without)
    counts = [1] if arguments.device.startswith("cuda") else sorted({1, torch.get_num_threads()})
    samples = task.batch[0].repeat(task.popsize, 1)
    plain, _ = benchlib.best_plain_inference(task.model, samples, arguments.device)
    generations = {("", "plain inference"): plain} | {key: value.generation for key, value in contenders.items()}
    cases = {
        (key, count): benchlib.with_threads(generation, count)
        for key, generation in generations.items()
        for count in counts
    }
    seconds = interleaved(cases, arguments.repetitions, arguments.device, arguments.least)
    best = {key: min((seconds[key, count] for count in counts), key=statistics.median) for key in generations}
    firsts = {family: key for key in reversed(generations) for family in [key[0]]}
    return [
        {
            "network": task.label,
            "family": key[0],
            "contender": key[1],
            "ms": 1e3 * statistics.median(best[key]),
            "threads": next(count for count in counts if seconds[key, count] is best[key]),
            "times ours": median_ratio(best[key], best[firsts[key[0]]]),
            "of plain inference": median_ratio(best["", "plain inference"], best[key]),
        }
        for key in generations
    ]


def draw(rows: Rows, path: Path) -> None:
    """Milliseconds a generation as bars, a panel a network."""
    from matplotlib.figure import Figure

    networks = [*dict.fromkeys(row["network"] for row in rows)]
    figure = Figure(figsize=(6.5 * len(networks), 5), layout="constrained")
    for place, network in enumerate(networks):
        axes = figure.add_subplot(1, len(networks), place + 1)
        shown = [row for row in rows if row["network"] == network]
        colors = ["tab:blue" if row["contender"].startswith("hybridopt") else "tab:gray" for row in shown]
        bars = axes.barh([row["contender"] for row in shown], [row["ms"] for row in shown], color=colors)
        axes.bar_label(bars, [benchlib.shown(row["ms"]) for row in shown], padding=2)
        axes.set(xscale="log", xlabel="milliseconds a generation", title=network)
        axes.invert_yaxis()
        axes.set_xlim(right=2 * max(row["ms"] for row in shown))  # room for the numbers
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = benchlib.parser(__doc__)
    parser.add_argument("--without", nargs="+", default=[], metavar="WORD", help="leave out labels with these words")
    arguments = benchlib.parse(parser)
    arguments.without += ["compiled"] if arguments.quick else []  # the compiler alone takes longer
    warnings.filterwarnings("ignore", module="evotorch|evox|ray|nevergrad")
    logging.disable(logging.INFO)  # EvoTorch sets its own level when it is imported
    report: dict[str, Any] = {"machine": benchlib.machine(arguments.device, PACKAGES)}
    benchlib.say("machine", [report["machine"]])
    report["contest"] = []
    for task in tasks(arguments.quick, arguments.device):
        rows = contest(task, arguments)
        report["contest"] += rows
        benchlib.say(f"{task.label}, n={task.popsize}, B={len(task.batch[0])}", rows)
    benchlib.save(arguments.json, report)
    if arguments.picture:
        draw(report["contest"], arguments.picture)


if __name__ == "__main__":
    main()
