"""Jobs that are derived from one that Hydra has composed are what Hydra would have made of them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import hydra
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode

from hybridopt.programs.run import register
from hybridopt.sweep.plan import Job, Planner


@pytest.fixture
def planner() -> Iterator[Planner]:
    register()
    with hydra.initialize_config_module("hybridopt.conf", version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield Planner(loader, loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN))


def composed(planner: Planner, overrides: list[str]) -> Job:
    """By Hydra alone."""
    return Planner(planner.loader, planner.master).job(overrides)


@pytest.mark.parametrize(
    ("keys", "values", "derived"),
    [
        (["strategy=adam", "seed={}", "strategy.lr={}"], [(0, 3), (1, 0.5, "1e-3")], 5),
        (["strategy=cem", "budget.forwards={}", "budget.marks={}", "test={}"],
         [("2e4", 30000), (5, 7), ("true", "false")], 7),
        (["strategy=lottery_ticket", "strategy.search.popsize={}", "strategy/search=openai_es", "seed={}"],
         [(4, 6), (1, 2)], 3),
        (["strategy=adam", "dataset={}", "seed={}"], [("iris", "wine"), (1, 2)], 2),
        (["strategy=openai_es", "model.hidden={}", "strategy.noise={}"],
         [("[8]", "[]", "[8,16]"), ("dense", "seeded")], 5),
        (["strategy=adam", "strategy.lr={}", "strategy={{lr:3}}"], [(1, 2)], 0),  # of two the last one counts
        (["strategy=adam", "threads={}", "tracking.experiment='two {}'"], [(1, "auto"), ("words",)], 1),
        (["strategy=adam", "+trainer.x={}"], [(1, 2)], 0),  # what is new has no type
        (["strategy=adam", "seed={}", "dataset.split_seed=${{seed}}"], [(4, 5)], 0),  # what follows from the seed
        (["strategy=adam", "seed={}", "tracking.experiment=${{hydra:job.name}}"], [(4, 5)], 0),
        (["strategy=adam", "threads={}", "tracking.experiment=e${{dataset.name}}"], [(1, 2)], 1),
        (["strategy=lottery_ticket", "sweep.arm.part=finetune", "seed={}"], [(4, 5)], 1),
    ],
)  # fmt: skip
def test_a_derived_job_is_the_composed_one(planner: Planner, keys: list[str], values: list, derived: int) -> None:
    made = 0
    for chosen in product(*values):
        rest = iter(chosen)
        overrides = [key.format(next(rest)) if "{}" in key else key.format() for key in keys]
        made += planner.deriver.derive(overrides) is not None
        job, whole = planner.job(overrides), composed(planner, overrides)
        assert (job.config, job.fingerprint, job.label, job.directory) == (
            whole.config, whole.fingerprint, whole.label, whole.directory)  # fmt: skip
        assert repr(job.config) == repr(whole.config)  # 1 is not 1.0
    assert made == derived


@pytest.mark.parametrize("override", ["seed=1.5", "budget.marks=true", "strategy.lr=x", "strategy.nope=1", "seed=007"])
def test_what_does_not_fit_is_left_to_hydra(planner: Planner, override: str) -> None:
    planner.job(["strategy=adam", "seed=1", "budget.marks=3", "strategy.lr=1"])
    key = override.partition("=")[0]
    overrides = ["strategy=adam", *(o for o in ("seed=1", "budget.marks=3", "strategy.lr=1") if not o.startswith(key))]
    told = []
    for make in (planner.job, lambda chosen: composed(planner, chosen)):
        try:
            told.append(repr(make([*overrides, override])))
        except HydraException as error:
            told.append(str(error))
    assert told[0] == told[1]
