"""What each built-in encoding promises beyond the kit's checks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hybridopt.composition import building
from hybridopt.encodings.subspace import Subspace
from hybridopt.encodings.supermask import Supermask
from hybridopt.errors import ConfigError


def network(seed=0):
    """Weights of two and of four dimensions, biases that are not zero, and a norm."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3)
        return nn.Sequential(*parts)


def parameters(seed=0):
    return {name: value.detach().clone() for name, value in network(seed).named_parameters()}


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def attached(encoding, seed=0):
    return encoding, begun(encoding, parameters(seed), source(seed))


def begun(encoding, own, generator):
    """The start of an encoding at these parameters."""
    encoding.attach(own)
    return encoding.begin(own, generator)


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


# -- subspace ---------------------------------------------------------------------------------------------------------


def test_a_step_in_the_subspace_is_a_step_of_the_same_scale_in_each_parameter():
    """The root mean square of theta - theta0 for z ~ N(0, s^2): k = 200 directions and 20 000 parameters; its relative
    deviation is about sqrt(1/(2k)) = 0.05 for one z and 0.008 over 40, so that 0.04 is five standard errors."""
    encoding, scale = Subspace(200), 0.3
    start = begun(encoding, {"w": torch.zeros(20_000)}, source(0))
    z = scale * torch.randn(40, len(start), generator=source(1))
    assert encoding.decode(z)["w"].square().mean().sqrt() == pytest.approx(scale, rel=0.04)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 12), st.integers(0, 10**6))
def test_the_subspace_is_affine_and_has_its_dimension(k, seed):
    encoding = Subspace(k)
    start = begun(encoding, {"w": torch.ones(12, dtype=torch.float32)}, source(seed))
    assert torch.equal(start, torch.zeros(k))
    a, b = torch.randn(2, k, generator=source(seed + 1))
    moved = encoding.decode(torch.stack([a, b, a + 2 * b]))["w"] - 1
    torch.testing.assert_close(moved[2], moved[0] + 2 * moved[1], rtol=1e-4, atol=1e-4)
    directions = encoding.decode(torch.eye(k))["w"] - 1
    assert torch.linalg.matrix_rank(directions) == k


@pytest.mark.parametrize("dimension", [0, -4])
def test_a_subspace_without_dimension_is_refused(dimension):
    with pytest.raises(ConfigError) as caught:
        Subspace(dimension)
    assert str(caught.value) == f"encoding.dimension must be at least 1, but is {dimension}."


def test_a_subspace_larger_than_the_model_is_refused():
    with pytest.raises(ConfigError) as caught:
        begun(Subspace(13), {"w": torch.zeros(12)}, source())
    assert str(caught.value) == "encoding.dimension is 13, but the model has only 12 parameters: choose less."
    assert len(begun(Subspace(12), {"w": torch.zeros(12)}, source())) == 12


# -- supermask --------------------------------------------------------------------------------------------------------


def weights():
    return {name: value for name, value in parameters().items() if value.ndim >= 2}


@settings(max_examples=40, deadline=None)
@given(st.floats(0.0, 0.99), st.integers(0, 10**6))
def test_a_supermask_keeps_values_and_masks_exactly_the_stated_share_of_each_weight(sparsity, seed):
    encoding, start = attached(Supermask(sparsity))
    decoded = encoding.decode(torch.cat([start[None], torch.randn(4, len(start), generator=source(seed))]))
    assert decoded.keys() == weights().keys()
    for name, weight in weights().items():
        kept = decoded[name] != 0
        masked = min(round(sparsity * weight.numel()), weight.numel() - 1)  # one is left in any case
        assert ((~kept).flatten(1).sum(1) == masked).all()
        assert torch.equal(decoded[name][kept], weight.expand_as(kept)[kept])


@pytest.mark.parametrize("sparsity", [0.25, 0.5, 0.9])
def test_the_start_of_a_supermask_keeps_the_largest_magnitudes(sparsity):
    encoding, start = attached(Supermask(sparsity))
    for name, value in encoding.decode(start[None]).items():
        kept = value[0] != 0
        assert weights()[name][kept].abs().min() >= weights()[name][~kept].abs().max()


def test_weights_of_a_signed_constant_keep_their_signs_and_have_one_size():
    encoding, start = attached(Supermask(0.5, init="signed_constant"))
    plain, same = attached(Supermask(0.5))
    assert torch.equal(start, same)
    for name, value in encoding.decode(start[None]).items():
        assert torch.equal(value.sign(), plain.decode(start[None])[name].sign())
        assert value.abs().unique().numel() == 2  # 0, and the standard deviation of Kaiming's start
        assert value.abs().max() == pytest.approx((2 / weights()[name][0].numel()) ** 0.5)


def test_the_scores_have_the_scale_in_each_weight():
    _, start = attached(Supermask(scale=0.02))
    for scores in start.split([weight.numel() for weight in weights().values()]):
        assert scores.square().mean().sqrt() == pytest.approx(0.02, rel=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100.0))
def test_only_the_order_of_the_scores_matters(seed, factor):
    encoding, start = attached(Supermask(0.5))
    z = torch.randn(3, len(start), generator=source(seed))
    assert_same(encoding.decode(z), encoding.decode(factor * z))


def test_equal_scores_mask_no_more_and_no_less():
    encoding, start = attached(Supermask(0.5))
    for name, value in encoding.decode(torch.zeros(2, len(start))).items():
        assert ((value == 0).flatten(1).sum(1) == round(0.5 * weights()[name].numel())).all()


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_a_sparsity_outside_of_its_range_is_refused(sparsity):
    with pytest.raises(ConfigError, match=rf"^encoding\.sparsity must .* but is {sparsity:g}\.$"):
        Supermask(sparsity)


def test_a_model_without_weights_is_refused():
    with pytest.raises(ConfigError) as caught:
        begun(Supermask(), {"bias": torch.zeros(3)}, source())
    assert str(caught.value) == (
        "A mask needs weights of two or more dimensions, and the model has none: choose another model, such as "
        "model=mlp."
    )


# -- some of the parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [("", ["2.weight", "2.bias"]), ("*.bias", ["0.bias", "2.bias"]), ("0.*", ["0.weight", "0.bias"])],
)
def test_a_group_is_the_parameters_that_match(pattern, chosen):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    own = dict(model.named_parameters())
    encoding = building.build("encoding", {"name": "parameter_group", "pattern": pattern})
    z = begun(encoding, own, torch.Generator())
    decoded = encoding.decode(z[None])
    assert list(decoded) == chosen
    assert all(torch.equal(decoded[name][0], own[name]) for name in chosen)


def test_a_pattern_that_nothing_matches_is_refused():
    model = torch.nn.Linear(3, 2)
    with pytest.raises(ConfigError, match=r"No parameter matches encoding\.pattern='head\*': the model has weight"):
        building.build("encoding", {"name": "parameter_group", "pattern": "head*"}).attach(
            dict(model.named_parameters())
        )


def test_bits_say_which_weights_are_used():
    model = torch.nn.Linear(2, 2)
    encoding = building.build("encoding", {"name": "supermask", "rule": "sign"})
    z = begun(encoding, dict(model.named_parameters()), torch.Generator())
    assert not z.any()
    kept = encoding.mask(torch.tensor([1.0, -1.0, 0.0, -0.5]))["weight"]
    assert kept.tolist() == [[True, False], [True, False]]
