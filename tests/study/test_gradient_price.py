"""The rule of the study on the price of gradients, on cells that are made up."""

from __future__ import annotations

from typing import Any

import pytest

from hybridopt import Results
from hybridopt.study.finding import find_study, profile_of

NAME = "gradient_price"


def results(price: float, grows: float, advantage: float) -> Results:
    """A gradient takes so many times as long, growing with d, and descends so many times as far per forward."""
    study = find_study(NAME)
    cells = study.cells(profile_of(NAME, study, "docs"))
    return Results("docs", cells={name: computed(price, grows, advantage, **cell) for name, cell in cells.items()})


def computed(price: float, grows: float, advantage: float, **cell: Any) -> dict[str, Any]:
    jitter, named = 1 + 0.01 * (cell["seed"] % 5), {name: cell[name] for name in ("kind", "d", "seed")}
    if cell["kind"] != "steps":
        return named | {"loss": 1e-3, "gradient": 1e-3 * price * jitter * (cell["d"] / 200) ** grows}
    names = ("forward gradient", "two losses", "ES, 4 pairs", "ES, 64 pairs")
    gradient = {"gradient": [advantage * jitter * fall for fall in (1e-6, 2e-6, 3e-6)]}
    return named | {"descents": gradient | {name: [1e-6, 2e-6, 3e-6] for name in names}}


@pytest.mark.parametrize(
    ("price", "grows", "advantage", "verdict"),
    [
        (3, 0.0, 30, "supported"),
        (2, 0.2, 30, "refuted"),  # too dear where it is largest
        (1, 0.15, 30, "mixed"),  # cheap, but dearer with each parameter
        (3, 0.0, 0.1, "refuted"),
        (3, 0.0, 0.98, "mixed"),  # neither descends further
    ],
)
def test_price_growth_and_descent_all_count(price: float, grows: float, advantage: float, verdict: str) -> None:
    judged = find_study(NAME).judge(results(price, grows, advantage))
    assert judged.verdict == verdict
    assert judged.numbers["exponent/mlp"] == pytest.approx(grows, abs=0.001)


def test_an_estimate_that_never_descends_is_beaten() -> None:
    found = results(3, 0.0, 30)
    cells = {
        name: cell | {"descents": cell["descents"] | {"two losses": [0.0, 0.0, 0.0]}} if "descents" in cell else cell
        for name, cell in found.cells.items()
    }
    judged = find_study(NAME).judge(Results("docs", cells=cells))
    assert judged.verdict == "supported"
    assert "two losses: no step descends." in judged.found
