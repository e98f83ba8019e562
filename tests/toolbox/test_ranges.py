"""One sentence for each setting that is out of range, and nothing for those that are in it."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybridopt.errors import ConfigError
from hybridopt.toolbox import ranges

NUMBERS = st.integers() | st.floats()
FINITE = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
INTERVALS = {
    "(0, 1)": lambda value: 0 < value < 1,
    "(0, 1]": lambda value: 0 < value <= 1,
    "[0, 1)": lambda value: 0 <= value < 1,
    "[0, 1]": lambda value: 0 <= value <= 1,
}


def fine(value):
    return isinstance(value, int) or math.isfinite(value)


def accepts(check, *bounds, value):
    """Whether the setting passes; if not, it is refused in a sentence that names it."""
    try:
        check("strategy", *bounds, value=value)
    except ConfigError as error:
        return not re.fullmatch(r"strategy\.value must .*, but (is|has) .*", str(error), re.DOTALL)
    return True


@settings(deadline=None)
@given(NUMBERS)
def test_positive(value):
    assert accepts(ranges.positive, value=value) == (fine(value) and value > 0)


@settings(deadline=None)
@given(NUMBERS)
def test_finite(value):
    assert accepts(ranges.finite, value=value) == fine(value)


@settings(deadline=None)
@given(FINITE, NUMBERS)
def test_at_least(least, value):
    assert accepts(ranges.at_least, least, value=value) == (fine(value) and value >= least)


@settings(deadline=None)
@given(FINITE, FINITE, NUMBERS)
def test_between(least, most, value):
    assert accepts(ranges.between, least, most, value=value) == (fine(value) and least <= value <= most)


@settings(deadline=None)
@given(st.sampled_from(list(INTERVALS)), NUMBERS | st.floats(-0.1, 1.1))
def test_share(interval, value):
    assert accepts(ranges.share, interval, value=value) == (fine(value) and INTERVALS[interval](value))


@settings(deadline=None)
@given(st.lists(st.text()), st.text())
def test_one_of(choices, value):
    assert accepts(ranges.one_of, choices, value=value) == (value in choices)


@settings(deadline=None)
@given(st.lists(st.text()), st.lists(st.text()))
def test_each_of(choices, values):
    assert accepts(ranges.each_of, choices, value=values) == (len(values) > 0 and set(values) <= set(choices))


@settings(deadline=None)
@given(st.lists(NUMBERS))
def test_sizes(values):
    assert accepts(ranges.sizes, "[8]", value=values) == (
        len(values) > 0 and all(fine(value) and value >= 1 for value in values)
    )


def test_what_is_not_set_is_not_checked():
    for check, bounds in (
        (ranges.positive, ()),
        (ranges.finite, ()),
        (ranges.at_least, (1,)),
        (ranges.between, (1, 2)),
        (ranges.share, ("(0, 1)",)),
        (ranges.one_of, ("ab",)),
    ):
        check("strategy", *bounds, value=None)


@pytest.mark.parametrize(
    ("check", "bounds", "value", "says"),
    [
        (ranges.positive, (), -1, "strategy.value must be a positive number, but is -1."),
        (ranges.positive, (), math.inf, "strategy.value must be a positive number, but is inf."),
        (ranges.at_least, (1,), 0.5, "strategy.value must be at least 1, but is 0.5."),
        (ranges.at_least, (1,), math.nan, "strategy.value must be a finite number, but is nan."),
        (
            ranges.even,
            ("they are pairs",),
            0,
            "strategy.value must be even and at least 2, since they are pairs, but is 0.",
        ),
        (
            ranges.even,
            ("they are pairs",),
            3,
            "strategy.value must be even and at least 2, since they are pairs, but is 3.",
        ),
        (ranges.between, (0, 2**32 - 1), 2**32, "strategy.value must be between 0 and 4294967295, but is 4294967296."),
        (ranges.share, ("[0, 1)",), 1.0, "strategy.value must lie in [0, 1), but is 1."),
        (ranges.one_of, (["a", "b"],), "c", "strategy.value must be one of a, b, but is 'c'."),
        (ranges.one_of, (["adam"],), "adm", "strategy.value must be one of adam, but is 'adm'. Did you mean 'adam'?"),
        (ranges.each_of, ("ab",), [], "strategy.value must list one or more of a, b, but is []."),
        (ranges.each_of, ("ab",), ["a", "c"], "strategy.value must list one or more of a, b, but has 'c'."),
        (
            ranges.sizes,
            ("take [8]",),
            [],
            "strategy.value must list at least one size, each at least 1, but is []: take [8].",
        ),
    ],
)
def test_sentences(check, bounds, value, says):
    with pytest.raises(ConfigError) as caught:
        check("strategy", *bounds, value=value)
    assert str(caught.value) == says


def test_settings_may_have_the_names_of_the_helpers_own_arguments():
    with pytest.raises(ConfigError, match=r"^encoding\.part must be at least 2, but is 1\.$"):
        ranges.at_least("encoding", 2, least=3, part=1)
