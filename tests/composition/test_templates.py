"""A job of a sweep that is made from a template is the one that Hydra composes; where it cannot be, Hydra does."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import hydra
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from hybridopt.composition.assignments import assigned
from hybridopt.composition.loader import CheckedLoader
from hybridopt.programs.run import register

PLACES = ["hydra.sweep.dir='/a b/c'", "hydra.sweep.subdir='adam-s0'", "trainer.enable_progress_bar=false"]


@pytest.fixture
def loader() -> Iterator[CheckedLoader]:
    register()
    with hydra.initialize_config_module("hybridopt.conf", version_base="1.3"):
        found = GlobalHydra.instance().config_loader()
        assert isinstance(found, CheckedLoader)
        yield found


@pytest.fixture
def master(loader: CheckedLoader) -> DictConfig:
    return loader.load_configuration("config", ["hydra.job.name=mine"], run_mode=RunMode.MULTIRUN)


def told(make, *arguments) -> str:
    try:
        return OmegaConf.to_yaml(make(*arguments))
    except HydraException as error:
        return str(error)


@pytest.mark.parametrize(
    "overrides",
    [
        ["strategy=adam", "strategy.lr=1e-3", "seed=3"],
        ["strategy=adam", "seed=4", "strategy.lr=1", "model.hidden=[8,16]", "tracking.experiment='two words'"],
        ["model.hidden=[]", "strategy=lottery_ticket", "strategy/search=openai_es", "strategy.search.noise=seeded"],
        ["seed=1", "seed=2", *PLACES],
        ["+trainer.max_time=5", "trainer.accelerator=cpu"],
        ["seed=1", "tracking.experiment=of-${seed}"],
        ["model={hidden:[4]}", "model.hidden=[8,8]"],  # the later one counts
        ["model.hidden=[8,8]", "model={hidden:[4]}"],
        ["budget.marks=2", "~budget.marks"],
        ["seed=x"],
        ["strategy.nope=1", "strategy=adam"],
        ["seed=1", "dataset=nope"],
        ["hydra.job.env_copy=[HOME]", "seed=1"],
        ["seed=1", "hydra.callbacks.x._target_=os.system"],
    ],
)
def test_a_job_is_what_hydra_composes(loader: CheckedLoader, master: DictConfig, overrides: list[str]) -> None:
    for more in ([], ["seed=5", "threads=auto"]):
        chosen = [*overrides, *more]
        wanted = told(ConfigLoaderImpl.load_sweep_config, loader, master, chosen)
        assert told(loader.load_sweep_config, master, chosen) == wanted


def test_hydra_composes_once_for_each_choice_of_plugins(
    loader: CheckedLoader, master: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    composed: list[list[str]] = []
    compose = ConfigLoaderImpl.load_configuration

    def count(self: ConfigLoaderImpl, name: str, overrides: list[str], *rest, **more) -> DictConfig:
        composed.append(overrides)
        return compose(self, name, overrides, *rest, **more)

    monkeypatch.setattr(ConfigLoaderImpl, "load_configuration", count)
    for strategy in ("adam", "cem"):
        for seed in range(3):
            job = [f"strategy={strategy}", f"seed={seed}", f"model.hidden=[{seed + 1}]"]
            first, again = loader.load_sweep_config(master, job), loader.load_sweep_config(master, [*job, *PLACES])
            first.model.hidden = [0]  # it is the caller's
            assert (again.strategy.name, again.seed, again.model.hidden) == (strategy, seed, [seed + 1])
    assert len(composed) == 2


def test_a_loader_goes_to_another_process_without_what_it_composed(loader: CheckedLoader, master: DictConfig) -> None:
    job = ["strategy=adam", "seed=1"]
    first = loader.load_sweep_config(master, job)
    there = pickle.loads(pickle.dumps(loader))
    assert OmegaConf.to_yaml(there.load_sweep_config(master, job)) == OmegaConf.to_yaml(first)


@pytest.mark.parametrize(
    "text",
    [
        "1", "-0.5", "1e-3", "TRUE", "False", "None", "nullx", "inf_x", "x", "cos.x/y-z+1", "''", "' x '", "'[a]'",
        "'true'", "[]", "[8,16]", "[ 1 , 2 ]", "[true,1.5,a]", "-0",
    ],
)  # fmt: skip
def test_a_plain_value_is_read_as_hydra_reads_it(text: str) -> None:
    wanted = OverridesParser.create().parse_override(f"a.b={text}").value()
    assert repr(assigned(f"a.b={text}")) == repr(("a.b", wanted))


@pytest.mark.parametrize(
    "override",
    [
        "a=null", "a=NULL", "a=nan", "a=Inf", "a=007", "a=1_000", "a=${b}", "a='${b}'", r"a='it\'s'", "a={b:1}", "a=",
        "a=[[1]]", "a=[1,]", "a=[null]", "a=[x, 'b, c']", "a=1,2", "a=choice(1,2)", "a=x y", "a", "+a=1", "~a", "a@b=1",
        "a/b=c", "a=x%",
    ],
)  # fmt: skip
def test_what_is_not_plain_is_left_to_hydra(override: str) -> None:
    assert assigned(override) is None
