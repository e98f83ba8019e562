"""Windows of a table: normal, the same after a checkpoint, and for estimates what drawn vectors are."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hybridopt.toolbox import noise_table
from hybridopt.toolbox.noise_table import NoiseTable


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def table(seed: int = 0) -> NoiseTable:
    made = NoiseTable()
    made.start(generator(seed))
    return made


def filled(made: NoiseTable, m: int, d: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    vectors = torch.empty(m, d, dtype=dtype)
    made.fill(vectors, generator(seed))
    return vectors


def place(vector: Tensor, whole: Tensor) -> int:
    """Where in the table it stands; one of its numbers alone may stand in several places."""
    found = (whole[: len(whole) - len(vector) + 1] == vector[0]).nonzero().flatten().tolist()
    return next(at for at in found if torch.equal(vector, whole[at : at + len(vector)]))


@pytest.mark.parametrize("d", [3, 700])
def test_vectors_are_windows_of_one_table_anew_at_each_call(d: int) -> None:
    made, source, vectors = table(), generator(1), torch.empty(50, d)
    whole = made.values(vectors)
    places = []
    for _ in range(2):
        made.fill(vectors, source)
        places += [place(vector, whole) for vector in vectors]
    assert len({*places}) > 90
    assert made.values(vectors) is whole


def test_a_checkpoint_gives_the_table_back() -> None:
    made, again = table(), NoiseTable()
    expected = filled(made, 4, 10)
    again.load_state_dict(made.state_dict())
    assert torch.equal(filled(again, 4, 10), expected)
    other = table(5)
    other.values(expected)
    other.load_state_dict(made.state_dict())  # over another table that is there
    assert torch.equal(filled(other, 4, 10), expected)
    assert filled(made, 2, 10, dtype=torch.float64).dtype == torch.float64
    assert sum(value.numel() for value in made.state_dict().values()) == 1


def estimate(made: NoiseTable, gradient: Tensor, m: int, seed: int) -> Tensor:
    """What mirrored pairs make of a linear loss."""
    noise = filled(made, m, len(gradient), seed, torch.float64)
    return (noise @ gradient) @ noise / m


def test_the_mean_of_estimates_over_tables_is_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within five standard errors in each coordinate, tables being as short as they are for long vectors."""
    monkeypatch.setattr(noise_table, "LEAST", 1)
    gradient = torch.randn(24, generator=generator(9), dtype=torch.float64)
    samples = torch.stack([estimate(table(seed), gradient, 16, seed) for seed in range(2000)])
    error = samples.std(0) / math.sqrt(len(samples))
    assert ((samples.mean(0) - gradient).abs() < 5 * error).all()
    assert error.max() < 0.1 * gradient.abs().max()


def test_what_one_table_is_off_by_is_as_much_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over all windows of a table, the estimate is off by sqrt(d / T) of the gradient, in the mean over tables."""
    monkeypatch.setattr(noise_table, "LEAST", 1)
    d = 200
    gradient = torch.randn(d, generator=generator(9), dtype=torch.float64)
    off = []
    for seed in range(20):
        windows = table(seed).values(torch.empty(1, d, dtype=torch.float64)).unfold(0, d, 1)
        mean = (windows @ gradient) @ windows / len(windows)
        assert torch.cosine_similarity(mean, gradient, dim=0) > 0.9
        off.append(float((mean - gradient).norm() / gradient.norm()))
    law = math.sqrt(1 / noise_table.VECTORS)
    assert sum(off) / len(off) == pytest.approx(law, rel=0.25)
