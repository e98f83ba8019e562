"""The rule on double descent, on results that are made up, and the data and networks behind it."""

import pytest
import torch
from hybridopt_mnist1d.mnist1d import mnist1d
from hybridopt_mnist1d.mnist1d_double_descent import PUBLISHED, Mnist1dDoubleDescent, fitting, landmarks
from hybridopt_mnist1d.noisy_labels import CLASSES, NOISE, Perceptron, noisy, ridge_solution

from hybridopt import Results

JITTER = (0.0, 0.004, -0.003, 0.002, -0.004, 0.003, -0.001, 0.001)
WIDTHS = Mnist1dDoubleDescent.profiles["docs"].sizes["widths"]
CURVE = (0.58, 0.6, 0.62, 0.66, 0.63, 0.61, 0.59, 0.54)
FITS = (0.5, 0.4, 0.3, 0.15, 0.0, 0.0, 0.0, 0.0)
EARLY = (0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def by_width(values, jitter=0.0):
    return {str(width): value + jitter for width, value in zip(WIDTHS, values, strict=True)}


def cells(error, fitted):
    found = {}
    for i, jitter in enumerate(JITTER):
        ticket = {str(width): 0.6 + jitter for width in WIDTHS[-2:]}
        found[f"networks {i}"] = {
            "error": by_width(error, jitter),
            "fitted": by_width(fitted),
            "decayed": by_width(error, JITTER[i - 3]),
            "ticket": ticket,
            "redrawn": ticket,
        }
        fixed = [0.6 + jitter] * 3 + [0.9 + JITTER[i - 1]] + [0.6 + jitter] * 3
        found[f"features {i}"] = {"least squares": fixed, "ridge": fixed}
    return found


@pytest.mark.parametrize(
    ("error", "fitted", "verdict"),
    [
        (CURVE, FITS, "supported"),
        (CURVE, EARLY, "mixed"),  # the peak is elsewhere
        (CURVE, (0.5,) * 8, "mixed"),  # no network fits
        ((*CURVE[:4], *(0.66,) * 4), FITS, "refuted"),  # no second descent
        (sorted(CURVE, reverse=True), FITS, "refuted"),  # no rise
    ],
)
def test_the_verdict_follows_the_rule(error, fitted, verdict):
    judged = Mnist1dDoubleDescent().judge(Results("docs", cells=cells(error, fitted)))
    assert judged.verdict == verdict


def test_nothing_is_told_of_nothing():
    assert Mnist1dDoubleDescent().judge(Results("docs")).verdict == "not distinguishable"


def test_the_published_run_has_its_peak_before_it_fits():
    marks = landmarks({width: test for width, (_, test) in PUBLISHED.items()})
    assert [width for width, _ in marks.values()] == [12, 47, 300]
    assert fitting({width: training for width, (training, _) in PUBLISHED.items()}) == 61


def test_labels_are_drawn_anew_in_training_alone():
    data, again = noisy(3, 400), noisy(3, 400)
    assert [len(part) for part in (data.targets, data.test_targets)] == [400, 500]
    assert torch.equal(data.targets, again.targets)
    true = mnist1d(num_samples=1000, train_split=0.5, val_fraction=0.2, generator_seed=3).sets
    assert torch.equal(data.test_targets, true["test"][1])
    wrong = (data.targets != true["train"][1]).double().mean()
    assert wrong == pytest.approx(NOISE * (1 - 1 / CLASSES), abs=0.05)


def test_the_network_is_pruned_to_a_narrower_one_s_weights():
    data = noisy(0, 100)
    network, narrow = Perceptron(data, 16, 0), Perceptron(data, 8, 0)
    network.trained(2)
    network.ticket(narrow.size, 2)
    assert narrow.size == 40 * 8 + 8 * 8 + 8 * CLASSES
    left = sum(int((value != 0).sum()) for value in network.module.parameters() if value.ndim > 1)
    assert left == narrow.size


@pytest.mark.parametrize("features", [5, 30])
def test_both_systems_of_equations_give_the_ridge_solution(features):
    generator = torch.Generator().manual_seed(0)
    inputs, targets = (torch.randn(12, size, generator=generator).double() for size in (features, 3))
    solution = ridge_solution(inputs, targets)
    gradient = inputs.T @ (inputs @ solution - targets) + 0.1 * 12 * solution
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)
