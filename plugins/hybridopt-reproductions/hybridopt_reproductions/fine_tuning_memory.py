"""What fine-tuning takes of memory, against inference on the same batch: each in a process of its own, repeated."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from hybridopt import Budget, DataSpec, Profile, Results, build, compose, run
from hybridopt.study.comparing import Compared
from hybridopt.study.memory import growth, in_a_process
from hybridopt.study.training import built
from hybridopt_reproductions.claims import Claim, ClaimsStudy, Finding, dots_of, middle, rule_of
from hybridopt_reproductions.points import Unmeasured

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STEPS = 3
SAMPLES, LENGTH, VOCABULARY = 8, 32, 4096
INFERENCE, MEZO, ADAM = "inference", "mezo", "adam"
TIMES = 1.1
WAYS = {"trial": "a transformer of 40 million parameters", "program": "41 million parameters, by the whole program"}
CLAIMS = {
    way: Claim(
        (MEZO,),
        f"it takes at most {TIMES:g} times the memory of inference on the same batch, by medians ({network})",
    )
    for way, network in WAYS.items()
}


class FineTuningMemory(ClaimsStudy):
    """The memory that MeZO takes beyond that of inference, for a transformer and for the whole program; Adam beside it.

    MeZO (Malladi et al. 2023, https://arxiv.org/abs/2305.17333) is said to fine-tune in the memory of inference. A
    transformer of 40 million parameters is trained by a ``Trial``, and a network of 40 layers and 41 million
    parameters by the whole program, which also rehearses, validates, writes a checkpoint and the weights. What counts
    is how far the resident memory of a process grows above what it was before, when a small network had been trained
    in it.
    """

    claim = "MeZO fine-tunes in the memory of inference."
    claims = CLAIMS
    rule = rule_of(CLAIMS)
    profiles = {  # seeds are repetitions
        "smoke": Profile(
            seeds=1, minutes=0.3, sizes={"ways": ["trial"], "methods": [INFERENCE, MEZO], "scale": "small"}
        ),
        "docs": Profile(
            seeds=3, minutes=4, sizes={"ways": list(WAYS), "methods": [INFERENCE, MEZO, ADAM], "scale": "large"}
        ),
        "full": Profile(
            seeds=9, minutes=12, sizes={"ways": list(WAYS), "methods": [INFERENCE, MEZO, ADAM], "scale": "large"}
        ),
    }

    def cells(self, profile: Profile) -> Mapping[str, Mapping[str, Any]]:
        sizes = profile.sizes
        return {
            f"{way}, {method}, {seed}": {"way": way, "method": method, "scale": sizes["scale"], "seed": seed}
            for way in sizes["ways"]
            for method in sizes["methods"]
            for seed in profile.fresh
        }

    def compute(self, **cell: Any) -> Mapping[str, Any]:
        """How far the memory of a process grows, in MB."""
        way, method = cell["way"], cell["method"]
        return {"way": way, "method": method, "MB": in_a_process(__name__, way, method, cell["scale"])}

    def findings(self, results: Results, compared: Sequence[Compared]) -> Iterator[Finding]:
        for way, claim in CLAIMS.items():
            found = measured(results, way)
            if found.keys() < {INFERENCE, MEZO}:
                continue
            times = {method: median(values) / max(median(found[INFERENCE]), 1e-9) for method, values in found.items()}
            said = ", ".join(f"{method} {middle(values)} MB" for method, values in found.items())
            ratios = " and ".join(f"{method} {times[method]:.2f}" for method in found if method != INFERENCE)
            yield Finding(claim, f"{said}: {ratios} times inference", times[MEZO] <= TIMES)

    def draw(self, results: Results) -> Figure | None:
        values = {f"{way}, {method}": of for way in WAYS for method, of in measured(results, way).items()}
        return dots_of(values, "MB above the process before")


def measured(results: Results, way: str) -> dict[str, list[float]]:
    """MB by method."""
    found: dict[str, list[float]] = {}
    for cell in results.cells.values():
        if cell["way"] == way:
            found.setdefault(cell["method"], []).append(float(cell["MB"]))
    return found


# -- in a process of its own ------------------------------------------------------------------------------------------


class CrossEntropy(Unmeasured):
    """Of logits, without metrics."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, targets)


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


def trial(method: str, width: int, layers: int) -> None:
    """Train a transformer by a ``Trial``, or only run it."""
    module, data = Encoder(width, layers), batch()
    if method == INFERENCE:
        return infer(module, data[0])
    from pytorch_lightning import Trainer  # not before: inference does without
    from torch.utils.data import DataLoader

    from hybridopt import Trial

    budget = Budget(evaluations=2 * STEPS if method == MEZO else STEPS, marks=1)
    spec = DataSpec({"ids": (LENGTH,), "padding": (LENGTH,)}, 2, "classification")
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = Trainer(**Trial.trainer_settings, **quiet, accelerator="cpu")
    loader = DataLoader([data], batch_size=None)
    trainer.fit(Trial(module, CrossEntropy(), built({"name": method}), budget, spec=spec), loader, loader)
    return None


def program(method: str, hidden: list[int]) -> None:
    """Train a network on digits by the program, or only run it."""
    network = f"model.hidden={hidden}".replace(" ", "")
    if method == INFERENCE:
        return infer(build(compose("strategy=mezo", network)).trial.model, torch.randn(256, 1, 8, 8))
    forwards = 256 * STEPS * (2 if method == MEZO else 3)
    with tempfile.TemporaryDirectory() as folder:
        job = [f"strategy={method}", network, f"budget.forwards={forwards}", "budget.marks=1"]
        run(*job, "tracking=none", "trainer.enable_progress_bar=false", "threads=1", directory=Path(folder) / "run")
    return None


def infer(module: nn.Module, inputs: Tensor | dict[str, Tensor]) -> None:
    """Run a network a few times."""
    with torch.no_grad():
        for _ in range(STEPS):
            module.eval()(inputs)


SIZES: Mapping[str, Mapping[str, Callable[[str], None]]] = {
    "trial": {
        "tiny": partial(trial, width=16, layers=1),
        "small": partial(trial, width=128, layers=2),
        "large": partial(trial, width=512, layers=12),
    },
    "program": {
        "tiny": partial(program, hidden=[8]),
        "small": partial(program, hidden=[256] * 4),
        "large": partial(program, hidden=[1024] * 40),
    },
}


def main(way: str, method: str, scale: str) -> None:
    """Print how far the memory of this process grows, in MB."""
    torch.set_num_threads(1)
    sizes = SIZES[way]
    print(growth(partial(sizes["tiny"], method), partial(sizes[scale], method)))


if __name__ == "__main__":
    main(*sys.argv[1:])
