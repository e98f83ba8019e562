"""Camps of arms: whether one of a camp is better than all of another, by comparisons that were corrected together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hybridopt.study.comparing import Compared


def pairs_of(ours: Iterable[str], theirs: Iterable[str]) -> list[tuple[str, str]]:
    """Each arm of one camp with each of the other."""
    others = list(theirs)
    return [(a, b) for a in ours for b in others]


def leader(found: Sequence[Compared], ours: Iterable[str], theirs: Iterable[str]) -> str | None:
    """The first of our arms that is better than each of theirs; None where there is none.

    Args:
        found: comparisons, among them of each of ours with each of theirs.
        ours: names of arms.
        theirs: names of the arms of another camp.
    """
    return _first(found, ours, theirs, equal=False)


def peer(found: Sequence[Compared], ours: Iterable[str], theirs: Iterable[str]) -> str | None:
    """The first of our arms that is better than each of theirs, or as good up to the margin of the comparisons."""
    return _first(found, ours, theirs, equal=True)


def _first(found: Sequence[Compared], ours: Iterable[str], theirs: Iterable[str], equal: bool) -> str | None:
    won = set()
    for each in found:
        if each.better is not None:
            won.add((each.better, each.b if each.better == each.a else each.a))
        elif equal and each.equivalent:
            won |= {(each.a, each.b), (each.b, each.a)}
    others = list(theirs)
    return next((arm for arm in ours if others and all((arm, other) in won for other in others)), None)
