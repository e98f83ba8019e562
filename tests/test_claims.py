"""Two packages that bring one plugin name, from the command line to the tags: refused, unless one is chosen."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_packages import VERSION, install, on_path
from jobs import SMALL

from hybridopt.execution import identity

SIGMAS = {"acme-search": 0.1, "zenith": 0.2}
PACKAGES = tuple(SIGMAS)
SOURCE = """
import torch

from hybridopt import Search


class Twin(Search):
    '''Random steps of {package}.'''

    def __init__(self, sigma: float = {sigma}):
        super().__init__()
        self.sigma = sigma

    def start(self, x0):
        self.register_buffer("x", x0.clone())

    def ask(self):
        return torch.stack([self.x, self.x + self.sigma * torch.randn(len(self.x), generator=self.generator)])

    def tell(self, population, losses):
        self.x = population[losses.argmin()]

    def recommend(self):
        return self.x
"""


@pytest.fixture
def twins(tmp_path: Path) -> Path:
    """Two packages that both bring a strategy ``twin``, with different defaults."""
    for package, sigma in SIGMAS.items():
        install(tmp_path / "site", package, SOURCE.format(package=package, sigma=sigma), strategy={"twin": "Twin"})
    return tmp_path / "site"


def run(*arguments: str, site: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"} | variables
    command = [sys.executable, "-m", "hybridopt", *arguments]
    return subprocess.run(command, cwd=site.parent, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("override", ["strategy=twin", "strategy/search=twin", "strategy=glob(tw*)"])
def test_the_bare_name_is_refused(override: str, twins: Path) -> None:
    refused = run(override, "--cfg", "job", site=twins)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr


def test_the_refusal_names_both_and_what_to_type(twins: Path) -> None:
    (sentence,) = (line for line in run("strategy=twin", site=twins).stderr.splitlines() if "claimed" in line)
    assert all(repr(package) in sentence for package in PACKAGES)
    assert re.search(r"(acme-search|zenith):twin\.$", sentence)


@pytest.mark.parametrize(("package", "sigma"), SIGMAS.items())
@pytest.mark.parametrize("place", ["strategy", "strategy/search", "strategy/finetune"])
def test_the_chosen_one_is_composed(package: str, sigma: float, place: str, twins: Path) -> None:
    done = run(f"{place}={package}:twin", "--cfg", "job", site=twins)
    assert done.returncode == 0, done.stderr
    chosen = yaml.safe_load(done.stdout)
    for part in place.split("/"):
        chosen = chosen[part]
    assert chosen == {"name": f"{package}:twin", "sigma": sigma}


def test_help_and_completion_offer_what_can_be_typed(twins: Path) -> None:
    names = [f"{package}:twin" for package in PACKAGES]
    (line,) = re.findall(r"^strategy: (.*)$", run("--help", site=twins).stdout, re.MULTILINE)
    assert [name for name in line.split(", ") if "twin" in name] == names
    offered = run("-sc", "query=bash", site=twins, COMP_LINE="hybridopt strategy=").stdout.split()
    assert [option.partition("=")[2] for option in offered if "twin" in option] == names
    begun = run("-sc", "query=bash", site=twins, COMP_LINE="hybridopt strategy=zenith:t").stdout.split()
    assert begun == ["strategy=zenith:twin"]
    settings = run("-sc", "query=bash", site=twins, COMP_LINE="hybridopt strategy=zenith:twin strategy.").stdout.split()
    assert settings == ["strategy.name=", "strategy.sigma="]


def test_tags_and_name_of_the_run_say_which_one(composed: Callable[..., dict[str, Any]], twins: Path) -> None:
    with on_path(twins):
        config = composed(
            "strategy=lottery_ticket", "strategy/search=zenith:twin", "strategy/finetune=acme-search:twin"
        )
        tags = identity.tags(config)
        assert tags["hybridopt.plugin.strategy.search"].startswith(f"zenith=={VERSION} ")
        assert tags["hybridopt.plugin.strategy.finetune"].startswith(f"acme-search=={VERSION} ")
        alone = composed("strategy=zenith:twin")
        assert identity.tags(alone)["hybridopt.strategy"] == "zenith:twin"
        assert identity.run_name(alone).startswith("zenith:twin · ")
        assert identity.fingerprint(alone) != identity.fingerprint(composed("strategy=acme-search:twin"))


@pytest.mark.slow
def test_a_sweep_runs_one_after_the_other(twins: Path) -> None:
    choices = ",".join(f"{package}:twin" for package in PACKAGES)
    quick = [*SMALL, "budget.forwards=2e3", "trainer.enable_progress_bar=false", "hydra.sweep.dir=sweep"]
    done = run("-m", f"strategy={choices}", *quick, site=twins)
    assert done.returncode == 0, done.stderr
    jobs = (twins.parent / "sweep").glob("*/config.yaml")
    ran = {tuple(identity.read_config(job.parent)["strategy"].items()) for job in jobs}
    assert ran == {(("name", f"{package}:twin"), ("sigma", sigma)) for package, sigma in SIGMAS.items()}
