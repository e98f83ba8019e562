"""OpenAI-ES: an unbiased estimate of known quality, ranks that see only the order, and a search that survives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.engine.population import materialize
from hybridopt.errors import ConfigError
from hybridopt.strategies.evolution_strategies.openai_es import OpenAIES
from hybridopt.toolbox.descent import centered_ranks


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def search(x0, seed=0, **settings):
    es = OpenAIES(**settings)
    es.generator = source(seed)
    es.start(x0)
    return es


def estimates(loss, x, pairs, count, sigma=0.1, seed=0):
    """(count, d): independent estimates of the gradient of ``loss`` at x, each from ``pairs`` mirrored samples."""
    es = search(x, seed, popsize=2 * pairs, sigma=sigma, shaping="none")

    def one():
        population = es.ask()
        noise = (population[:pairs] - x) / sigma
        return es.estimate(noise, loss(population))

    return torch.stack([one() for _ in range(count)])


def quadratic(seed, d):
    """A loss x -> x A x / 2 + b x of random curvature, and its gradient."""
    root = torch.randn(d, d, generator=source(seed), dtype=torch.float64)
    a, b = root @ root.T / d, torch.randn(d, generator=source(seed + 1), dtype=torch.float64)
    return lambda x: (x @ a * x).sum(-1) / 2 + x @ b, lambda x: a @ x + b


# -- the estimate -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 10, 20])
def test_the_estimate_is_unbiased_for_the_gradient_of_a_quadratic(seed):
    """The mean of 4000 estimates in each of 5 coordinates is within 4.5 standard errors of the gradient: by the central
    limit theorem a right estimate fails with probability below 5 * 7e-6, and the seeds are fixed."""
    loss, gradient = quadratic(seed, d=5)
    x = torch.randn(5, generator=source(seed + 2), dtype=torch.float64)
    drawn = estimates(loss, x, pairs=3, count=4000, sigma=0.5, seed=seed)
    standard_error = drawn.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - gradient(x)).abs() < 4.5 * standard_error).all()
    assert (standard_error < 0.1 * gradient(x).norm()).all()  # so that a wrong factor would be seen


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), sigma=st.floats(0.01, 2.0), offset=st.floats(-1e3, 1e3))
def test_mirrored_pairs_cancel_the_offset_and_the_curvature(seed, sigma, offset):
    """On a quadratic each pair gives the directional derivative exactly: the estimate is the mean of (g e) e."""
    loss, gradient = quadratic(seed, d=4)
    x = torch.randn(4, generator=source(seed + 3), dtype=torch.float64)
    noise = torch.randn(3, 4, generator=source(seed + 4), dtype=torch.float64)
    es = search(x, popsize=6, sigma=sigma, shaping="none")
    steps = sigma * noise
    estimate = es.estimate(noise, offset + loss(torch.cat([x + steps, x - steps])))
    exact = (noise @ gradient(x)) @ noise / 3
    torch.testing.assert_close(estimate, exact, rtol=1e-6, atol=1e-8 * (1 + abs(offset)) / sigma)


@pytest.mark.parametrize(("pairs", "d"), [(10, 10), (50, 100), (20, 400), (400, 100)])
def test_the_estimate_is_aligned_with_the_gradient_as_the_law_says(pairs, d):
    """cos = sqrt(m / (m + d)) for m pairs in d dimensions, on a linear loss: the mean over 300 estimates. One cosine's
    deviation is at most about sqrt(1/(2m)), so that the standard error is below 0.013; the law itself is of
    leading order. The band is 5 %."""
    g = torch.randn(d, generator=source(1))
    drawn = estimates(lambda x: x @ g, torch.zeros(d), pairs, count=300)
    cosines = torch.nn.functional.cosine_similarity(drawn, g[None])
    assert cosines.mean().item() == pytest.approx((pairs / (pairs + d)) ** 0.5, rel=0.05)


def test_mirrored_pairs_lie_on_both_sides_at_the_stated_scale():
    """The root mean square of 50 000 normal numbers is within 2 %, more than six standard errors."""
    x = torch.randn(1000, generator=source(2))
    steps = search(x, popsize=100, sigma=0.2).ask() - x
    torch.testing.assert_close(steps[:50], -steps[50:], rtol=0, atol=1e-6)
    assert steps.square().mean().sqrt() == pytest.approx(0.2, rel=0.02)


# -- ranks ------------------------------------------------------------------------------------------------------------

whole = st.lists(st.integers(-1000, 1000), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(whole)
def test_ranks_are_centred_and_bounded_whatever_the_ties(values):
    ranks = centered_ranks(torch.tensor(values, dtype=torch.float32))
    assert abs(ranks.sum().item()) < 1e-5 * len(values)
    assert ranks.abs().max() <= 0.5 + 1e-6


@settings(max_examples=60, deadline=None)
@given(whole)
def test_ranks_keep_the_order_and_equals_share_theirs(values):
    ranks = centered_ranks(torch.tensor(values, dtype=torch.float32)).tolist()
    for a, rank_a in zip(values, ranks, strict=True):
        for b, rank_b in zip(values, ranks, strict=True):
            assert (rank_a < rank_b) == (a < b)


@settings(max_examples=60, deadline=None)
@given(whole)
def test_ranks_see_only_the_order(values):
    losses = torch.tensor(values, dtype=torch.float64)
    for monotone in (lambda x: 3 * x + 7, torch.arctan, lambda x: x**3, lambda x: torch.exp(x / 100)):
        assert torch.equal(centered_ranks(monotone(losses)), centered_ranks(losses))


@settings(max_examples=30, deadline=None)
@given(whole, st.randoms(use_true_random=False))
def test_ranks_move_with_the_losses(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    losses = torch.tensor(values, dtype=torch.float32)
    assert torch.equal(centered_ranks(losses[order]), centered_ranks(losses)[order])


def test_ranks_without_ties_are_evenly_spread():
    ranks = centered_ranks(torch.tensor([9.0, -1.0, 3.0, 2.0, torch.inf]))
    torch.testing.assert_close(ranks, torch.tensor([0.25, -0.5, 0.0, -0.25, 0.5]))
    assert torch.equal(centered_ranks(torch.zeros(4)), torch.zeros(4))


# -- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shaping", ["centered_rank", "none"])
def test_descends_a_bowl(shaping):
    es = search(torch.full((10,), 2.0), popsize=40, sigma=0.1, lr=0.1, schedule="constant", shaping=shaping)
    for _ in range(150):
        population = es.ask()
        es.tell(population, population.square().sum(1))
    assert es.recommend().norm() < 0.1 * 2 * 10**0.5


@pytest.mark.parametrize("shaping", ["centered_rank", "none"])
def test_failed_candidates_do_not_end_the_search(shaping):
    es = search(torch.ones(3), popsize=6, shaping=shaping)
    population = es.ask()
    losses = population.sum(1)
    losses[[1, 4]] = torch.inf  # a mirrored pair
    losses[0] = torch.inf  # and a single one
    es.tell(population, losses)
    assert es.recommend().isfinite().all()


def test_weight_decay_pulls_to_zero_where_the_losses_say_nothing():
    es = search(torch.tensor([3.0, -3.0]), popsize=4, lr=0.1, weight_decay=0.1)
    for _ in range(10):
        es.tell(es.ask(), torch.zeros(4))
    assert (es.recommend().abs() < 2.5).all()
    still = search(torch.tensor([3.0, -3.0]), popsize=4, lr=0.1)
    still.tell(still.ask(), torch.zeros(4))
    assert torch.equal(still.recommend(), torch.tensor([3.0, -3.0]))


def test_the_step_follows_the_schedule():
    def moved(progress):
        es = search(torch.zeros(5), popsize=10, lr=0.4, schedule="linear", final_lr=0.0)
        es.progress = progress
        population = es.ask()
        es.tell(population, population.sum(1))
        return es.recommend().abs()

    torch.testing.assert_close(moved(0.75), 0.25 * moved(0.0), rtol=1e-5, atol=1e-7)


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("popsize", [0, 1, 7, -2])
def test_an_odd_or_empty_population_is_refused(popsize):
    with pytest.raises(ConfigError, match=rf"strategy\.popsize must be even .* mirrored pairs, but is {popsize}\."):
        OpenAIES(popsize=popsize)


@pytest.mark.parametrize("scales", [{"sigma": 0.0}, {"sigma": -1.0}, {"lr": 0.0}, {"lr": -0.1}])
def test_scales_that_are_not_positive_are_refused(scales):
    ((name, value),) = scales.items()
    with pytest.raises(ConfigError, match=rf"strategy\.{name} must be a positive number, but is {value:g}\."):
        OpenAIES(**scales)


@pytest.mark.parametrize("noise", ["dense", "table", "seeded"])
def test_a_loaded_search_asks_for_what_the_saved_one_would(noise):
    es = search(torch.zeros(30), popsize=4, noise=noise)
    es.tell(es.ask(), torch.arange(4.0))
    loaded = search(torch.ones(30), seed=7, popsize=4, noise=noise)
    loaded.load_state_dict(es.state_dict())
    loaded.generator.set_state(es.generator.get_state())
    first, second = materialize(es.ask()).clone(), materialize(loaded.ask())
    assert torch.equal(first, second)
    assert torch.allclose(first[:2] + first[2:], (2 * es.x).expand(2, -1), atol=1e-6)
    assert not torch.equal(first, materialize(es.ask()))
