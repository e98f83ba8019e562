"""The README's figures: generations until exclusive or is solved, and the time of an evaluation.

python scripts/measure.py xor [setting=value ...]
python scripts/measure.py speed
"""

from __future__ import annotations

import argparse
import ast
import time
from collections.abc import Callable
from statistics import mean, median
from typing import Any

import torch
from hybridopt_neat.genome_network import genome_network
from hybridopt_neat.neat_search import NEAT
from hybridopt_neat.xor import xor
from neat.nn import FeedForwardNetwork

from hybridopt import Budget, DataSpec, Ledger, Oracle
from hybridopt.composition import building
from hybridopt.testing.by_hand import begin

SEEDS = range(10)
GENERATIONS = 300
SOLVED = 0.025  # mean squared error: neat-python's example asks for a sum of 0.1 over the four samples


def search(seed: int, spec: DataSpec, **settings: Any) -> tuple[Oracle, NEAT]:
    """A strategy that has begun."""
    torch.manual_seed(seed)
    objective = building.build("objective", {"name": "mse"}, spec=spec)
    generator = torch.Generator().manual_seed(seed)
    oracle = Oracle(genome_network(spec), objective, Ledger(Budget(forwards=1e12)), generator)
    strategy = NEAT(**settings)
    begin(strategy, oracle, xor().sets["train"])
    return oracle, strategy


def measure_xor(settings: dict[str, Any]) -> None:
    """Generations, evaluations and forwards until the champion has solved it, seed by seed."""
    data = xor()
    solved = []
    print("seed  generations  evaluations  forwards  hidden nodes")
    for seed in SEEDS:
        oracle, strategy = search(seed, data.spec, **settings)
        for generation in range(1, GENERATIONS + 1):
            if strategy.step(oracle, data.sets["train"])["loss"] <= SOLVED:
                ledger, hidden = oracle.ledger, strategy.facts()["neat.hidden_nodes"]
                print(f"{seed:4}  {generation:11}  {ledger.evaluations:11}  {ledger.forwards:8}  {hidden:>12}")
                solved.append((generation, ledger.evaluations))
                break
        else:
            print(f"{seed:4}  not in {GENERATIONS}")
    generations, evaluations = zip(*solved, strict=True)
    print(
        f"solved {len(solved)} of {len(SEEDS)}: generations {min(generations)} to {max(generations)}, median "
        f"{median(generations):g}; evaluations {mean(evaluations):.0f} on average"
    )


def measure_speed() -> None:
    """One evaluation of a population of 150, as oracle.losses has it and by neat-python's loop, on the same genomes."""
    spec = DataSpec((4,), 2, "regression")
    print("samples  grown for  hidden nodes  decoding ms  oracle ms  neat-python ms  ratio")
    for grown in (0, 25):
        oracle, strategy = search(0, spec, node_delete_prob=0.0, conn_delete_prob=0.0)
        strategy.ask()
        evolution = strategy._evolution
        for _ in range(grown):  # whatever the losses are: it is sizes that matter here
            evolution.advance(torch.rand(len(evolution.members), generator=oracle.generator).tolist())
        for samples in (4, 32, 256):
            inputs = torch.randn(samples, 4, generator=torch.Generator().manual_seed(1))
            batch = (inputs, inputs[:, :2])
            population, genomes, rows = strategy.ask(), list(evolution.members.values()), inputs.tolist()
            hidden = mean(evolution.phenotype(genome).hidden(2) for genome in genomes)

            def loop(genomes: Any = genomes, rows: Any = rows, config: Any = evolution.config) -> None:
                for genome in genomes:
                    network = FeedForwardNetwork.create(genome, config)
                    for row in rows:
                        network.activate(row)

            decoding = timed(strategy.ask)
            ours = timed(lambda oracle=oracle, population=population, batch=batch: oracle.losses(population, batch))
            theirs = timed(loop)
            print(
                f"{samples:7}  {grown:9}  {hidden:12.1f}  {1e3 * decoding:11.1f}  {1e3 * ours:9.1f}  "
                f"{1e3 * theirs:14.1f}  {theirs / (decoding + ours):5.1f}"
            )


def timed(call: Callable[[], Any], repeats: int = 7) -> float:
    """Seconds, the best of some: what others do on the machine is not ours."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["xor", "speed"])
    parser.add_argument("settings", nargs="*", help="of the strategy, such as conn_delete_prob=0.0")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pairs = (setting.split("=", 1) for setting in arguments.settings)
    settings = {name: ast.literal_eval(value) for name, value in pairs}
    measure_xor(settings) if arguments.what == "xor" else measure_speed()


if __name__ == "__main__":
    main()
