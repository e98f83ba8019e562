"""What fine-tuning takes of memory, against inference on the same batch: each in a process of its own, repeated.

A transformer of 40 million parameters is trained by a ``Trial``, and a network of 40 layers and 41 million parameters
by the whole program, which also rehearses, validates, writes a checkpoint and the weights. What counts is how far the
resident memory of the process grows above what it was before, when a small network had been trained in it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hybridopt import Budget, DataSpec, Trial, run
from hybridopt.composition import building
from hybridopt.engine.memory import begin_peak, keep_freed_memory, peak_memory
from hybridopt.objectives.cross_entropy import CrossEntropy
from proofs import Finding, proves, spread

REPEATS, STEPS = 3, 3
SAMPLES, LENGTH, VOCABULARY = 8, 32, 4096
SMALL, DEEP = [8], [1024] * 40  # hidden layers


class Encoder(nn.Module):
    """Tokens, a transformer with a mask, and a head on the mean.

    Args:
        width: of the embedding.
        layers: of the transformer.
    """

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        layer = nn.TransformerEncoderLayer(width, 8, 4 * width, batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        hidden = self.blocks(self.tokens(inputs["ids"]), src_key_padding_mask=inputs["padding"])
        return self.head(hidden.mean(1))


def batch() -> tuple[dict[str, Tensor], Tensor]:
    """Sentences of random tokens, of which the last ones are padding."""
    lengths = torch.randint(LENGTH // 2, LENGTH + 1, (SAMPLES, 1))
    ids = torch.randint(VOCABULARY, (SAMPLES, LENGTH))
    return {"ids": ids, "padding": torch.arange(LENGTH) >= lengths}, torch.randint(2, (SAMPLES,))


def trial(method: str, width: int, layers: int) -> float:
    """Train a transformer, or only run it; the peak of the process in MB."""
    model, data = Encoder(width, layers), batch()
    if method == "inference":
        return infer(model, data[0])
    strategy = building.build("strategy", {"name": method})
    budget = Budget(evaluations=2 * STEPS if method == "mezo" else STEPS, marks=1)
    spec = DataSpec({"ids": (LENGTH,), "padding": (LENGTH,)}, 2, "classification")
    trainer = Trainer(
        **Trial.trainer_settings,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
    )
    loader = DataLoader([data], batch_size=None)  # pyright: ignore[reportArgumentType]
    trainer.fit(Trial(model, CrossEntropy(), strategy, budget, spec=spec), loader, loader)
    return peak_memory()


def program(method: str, hidden: list[int]) -> float:
    """Train a network on digits by the program, or only run it; the peak of the process in MB."""
    if method == "inference":
        spec = DataSpec((64,), 10, "classification")
        return infer(building.build("model", {"name": "mlp", "hidden": hidden}, spec=spec), torch.randn(256, 64))
    forwards = 256 * STEPS * (2 if method == "mezo" else 3)
    with tempfile.TemporaryDirectory() as folder:
        job = [f"strategy={method}", f"model.hidden={hidden}", f"budget.forwards={forwards}", "budget.marks=1"]
        run(*job, "tracking=none", "trainer.enable_progress_bar=false", "threads=1", directory=Path(folder) / "run")
    return peak_memory()


def infer(model: nn.Module, inputs: Tensor | dict[str, Tensor]) -> float:
    """Run a network a few times; the peak of the process in MB."""
    with torch.no_grad():
        for _ in range(STEPS):
            model.eval()(inputs)
    return peak_memory()


WAYS: dict[str, tuple[Callable[[str], float], Callable[[str], float]]] = {  # on a small network, and on a large one
    "trial": (partial(trial, width=16, layers=1), partial(trial, width=512, layers=12)),
    "program": (partial(program, hidden=SMALL), partial(program, hidden=DEEP)),
}


def growth(way: str, method: str) -> float:
    """How far the memory of this process grows, in MB."""
    keep_freed_memory()
    small, large = WAYS[way]
    small(method)  # what is imported late is there afterwards
    begin_peak()
    before = peak_memory()
    return large(method) - before


def measured(way: str, method: str) -> list[float]:
    """The same in processes of their own."""
    command = [sys.executable, "-W", "ignore", "-m", "proofs.memory", way, method]
    outputs = [
        subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True).stdout
        for _ in range(REPEATS)
    ]
    return [float(output.split()[-1]) for output in outputs]


@proves("mezo")
def as_much_as_inference(seeds: int) -> Iterator[Finding]:
    """Fine-tuning in at most 1.1 times the memory of inference."""
    networks = {"trial": "a transformer of 40 million parameters", "program": "41 million parameters, whole program"}
    for way, network in networks.items():
        found = {method: measured(way, method) for method in ("inference", "mezo", "adam")}
        base = statistics.median(found["inference"])
        ratios = {method: statistics.median(values) / base for method, values in found.items()}
        said = ", ".join(f"{method} {spread(values)} MB" for method, values in found.items())
        said += f": {ratios['mezo']:.2f} and {ratios['adam']:.2f} times inference"
        claim = f"it takes at most 1.1 times the memory of inference on the same batch ({network})"
        yield Finding(claim, said, ratios["mezo"] <= 1.1)


if __name__ == "__main__":
    print(growth(sys.argv[1], sys.argv[2]))
