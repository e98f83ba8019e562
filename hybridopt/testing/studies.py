"""What is asked of a study: it says what it tests, composes, computes, and judges whatever comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from hybridopt.composition import compose
from hybridopt.composition.registry import Plugin
from hybridopt.core.study import VERDICTS, Cell, Judgement, Outcome, Profile, Results, Study, Tuned
from hybridopt.errors import HybridoptError, brief
from hybridopt.testing.kit import check, during, fail_if

SMALL, SHOWN = "smoke", "docs"  # profiles that every study has
TEXTS = ("claim", "said_by", "rule")
MARKS = 8  # of a curve that is made up


def build(plugin: Plugin) -> Study:
    """The study."""
    made = plugin.load()
    fail_if(not (isinstance(made, type) and issubclass(made, Study)), "it is no class that derives from Study.")
    return made()


@check("study", first=True)
def says_what_it_tests(plugin: Plugin) -> None:
    """It has a claim, who made it, a rule, and the profiles ``smoke`` and ``docs``; and arms, cells, or both."""
    study = build(plugin)
    for name in TEXTS:
        text = getattr(study, name, None)
        fail_if(not isinstance(text, str) or not text.strip(), f"it has no {name}: say it in a sentence.")
    for name in (SMALL, SHOWN):
        fail_if(name not in study.profiles, f"it has no profile {name!r}: give one by profiles.")
    for name, profile in study.profiles.items():
        fail_if(profile.seeds < 1, f"its profile {name!r} has no seeds.")
        fail_if(
            not study.arms(profile) and not study.cells(profile),
            f"its profile {name!r} has neither arms nor cells, so that nothing would be measured.",
        )
        for arm, each in study.arms(profile).items():
            known = each.settings_of is None or each.settings_of in study.arms(profile)
            fail_if(not known, f"its arm {arm!r} takes the settings of {each.settings_of!r}, which is no arm.")


@check("study")
def arms_compose(plugin: Plugin) -> None:
    """Its arms are jobs, in each profile: of many, those in which every override comes once."""
    study = build(plugin)
    arms = {arm: each for profile in study.profiles.values() for arm, each in study.arms(profile).items()}
    seen: set[str] = set()
    for name, arm in arms.items():
        if arm.overrides and seen.issuperset(arm.overrides):
            continue
        seen.update(arm.overrides)
        try:
            compose.compose(*study.base, *arm.overrides)
        except HybridoptError as error:
            fail_if(True, f"its arm {name!r} is no job: {brief(error)}")


@check("study")
def arms_differ(plugin: Plugin) -> None:
    """No two of its arms are the same job: their difference would be none."""
    study = build(plugin)
    for title, profile in study.profiles.items():
        seen: dict[Any, str] = {}
        for name, arm in study.arms(profile).items():
            key = (arm.overrides, arm.tuned, arm.settings_of)
            fail_if(key in seen, f"in its profile {title!r} the arms {seen.get(key)!r} and {name!r} are the same.")
            seen[key] = name


@check("study", applies=lambda plugin: bool(build(plugin).cells(build(plugin).profiles[SMALL])))
def computes_its_cells(plugin: Plugin) -> None:
    """Each cell of its profile ``smoke`` is computed, from plain values to plain values."""
    study = build(plugin)
    for name, arguments in study.cells(study.profiles[SMALL]).items():
        with during(f"with the arguments of the cell {name!r}"):
            fail_if(json.loads(json.dumps(arguments)) != dict(arguments), "they are no plain values.")
    computed(plugin)


@check("study")
def judges_by_its_rule(plugin: Plugin) -> None:
    """Whatever its runs come to, it gives one of the verdicts, the same for the same, and draws its figure."""
    study = build(plugin)
    for seed in range(3):
        results = made_up(study, study.profiles[SMALL], cells_of(plugin), seed)
        with during("on results that were made up it judges, and"):
            judgement = study.judge(results)
        fail_if(not isinstance(judgement, Judgement), "judge gives no Judgement.")
        fail_if(
            judgement.verdict not in VERDICTS,
            f"its verdict is {judgement.verdict!r}, which is none of {', '.join(VERDICTS)}.",
        )
        fail_if(not judgement.found, "it gives a verdict, and no sentence that bears it out.")
        for table in judgement.tables:
            wrong = [row for row in table.rows if len(row) != len(table.head)]
            fail_if(wrong, f"its table {table.title!r} has a row of {len(wrong[0]) if wrong else 0} texts.")
    fail_if(study.judge(results) != judgement, "it says something else of the same results.")
    with during("where it draws results that were made up"):
        figure = study.draw(results)
    fail_if(figure is not None and not hasattr(figure, "savefig"), "draw gives no figure of matplotlib.")


def cells_of(plugin: Plugin) -> Mapping[str, Cell]:
    """The cells of the profile ``smoke``."""
    return computed(plugin) if build(plugin).cells(build(plugin).profiles[SMALL]) else {}


@cache
def computed(plugin: Plugin) -> Mapping[str, Cell]:
    """The cells of the profile ``smoke``, as a file holds them."""
    study, found = build(plugin), {}
    for name, arguments in study.cells(study.profiles[SMALL]).items():
        with during(f"in its cell {name!r}"):
            found[name] = json.loads(json.dumps(study.compute(**arguments), allow_nan=False))
    return found


def made_up(study: Study, profile: Profile, cells: Mapping[str, Cell], seed: int) -> Results:
    """Results with outcomes between 0 and 1."""
    generator = np.random.default_rng(seed)
    arms = study.arms(profile)
    runs = {name: [outcome(study, each, generator) for each in profile.fresh] for name in arms}
    tuned = {name: Tuned((), profile.trials, 1e3) for name, arm in arms.items() if arm.tuned and profile.trials}
    name = next(name for name, each in study.profiles.items() if each is profile)
    return Results(name, arms=runs, cells=cells, tuned=tuned)


def outcome(study: Study, seed: int, generator: np.random.Generator) -> Outcome:
    """A run as it might be."""
    values = {name: float(generator.uniform(0.01, 1)) for name in study.metrics}
    costs = {"cost/forwards": 1e4, "cost/evaluations": 100.0, "cost/seconds": 1.0}
    curve = [(1e4 * (mark + 1) / MARKS, float(generator.uniform(0.01, 1))) for mark in range(MARKS)]
    return Outcome(seed, values | costs, curve if study.curve is not None else (), diverged=False)
