"""Presets and experiments that packages ship: found without an import, behind all others, refused if doubled."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fake_packages import install_configs, on_path

from hybridopt.composition import registry

EXPERIMENT = "# @package _global_\n# {summary}\ndefaults:\n  - override /strategy: adam\nseed: {seed}\n"
RAISES = "raise RuntimeError('imported')\n"


def experiment(seed: int, summary: str = "An experiment.") -> str:
    return EXPERIMENT.format(seed=seed, summary=summary)


def run(*arguments: str, site: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"} | variables
    command = [sys.executable, "-m", "hybridopt", *arguments]
    return subprocess.run(command, cwd=site, env=environment, capture_output=True, text=True, check=False)


def seed(*arguments: str, site: Path) -> int:
    """The seed of the composed job, which says whose experiment it is."""
    done = run(*arguments, "--cfg", "job", site=site)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["seed"]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Two packages, neither of which can be imported, with an experiment each and one that both have."""
    for number, package in enumerate(("acme-lab", "zenith"), start=1):
        files = {
            f"experiment/of_{package}.yaml": experiment(number),
            "experiment/shared.yaml": experiment(10 * number),
            "experiment/regression.yaml": experiment(99),  # a name of our own
            "dataset/handmade.yaml": f"name: moons\nsamples: {number}00\n",
        }
        install_configs(tmp_path, package, files, RAISES)
    return tmp_path


def test_an_experiment_of_a_package_composes_without_importing_it(site: Path) -> None:
    assert seed("experiment=of_acme-lab", site=site) == 1
    assert seed("experiment=of_zenith", site=site) == 2


def test_one_that_two_packages_ship_is_refused_unless_chosen(site: Path) -> None:
    refused = run("experiment=shared", "--cfg", "job", site=site)
    (sentence,) = (line for line in refused.stderr.splitlines() if "claimed" in line)
    assert refused.returncode != 0
    assert "'acme-lab' and 'zenith'" in sentence
    assert sentence.endswith("acme-lab:shared.")
    assert seed("experiment=acme-lab:shared", site=site) == 10
    assert seed("experiment=zenith:shared", site=site) == 20


def test_our_own_and_the_users_come_first(site: Path) -> None:
    assert seed("experiment=regression", site=site) == 0
    assert seed("experiment=zenith:regression", site=site) == 99
    mine = site / "mine" / "experiment"
    mine.mkdir(parents=True)
    (mine / "shared.yaml").write_text(experiment(5))
    assert seed("--config-dir", "mine", "experiment=shared", site=site) == 5


def test_a_preset_joins_the_plugins_of_its_group(site: Path) -> None:
    done = run("dataset=zenith:handmade", "--cfg", "job", "--package", "dataset", site=site)
    assert "samples: 200" in done.stdout, done.stderr


def test_help_and_completion_offer_what_can_be_typed(site: Path) -> None:
    (line,) = re.findall(r"^experiment: (.*)$", run("--help", site=site).stdout, re.MULTILINE)
    offered = run("-sc", "query=bash", site=site, COMP_LINE="hybridopt experiment=").stdout.split()
    assert line.split(", ") == [option.partition("=")[2] for option in offered]
    assert {"acme-lab:shared", "zenith:shared", "of_zenith", "regression"} <= set(line.split(", "))
    assert "shared" not in line.split(", ")


BROKEN = {
    "no YAML": ("a: [\n", "ParserError"),
    "a header without a value": ("# @package\n", "ValueError"),
    "no text": ("\x00", "ReaderError"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_config_harms_only_itself(fault: str, site: Path) -> None:
    text, named = BROKEN[fault]
    install_configs(site, "broken-lab", {"experiment/broken.yaml": text, "experiment/sound.yaml": experiment(3)})
    assert seed("experiment=sound", site=site) == 3
    refused = run("experiment=broken", "--cfg", "job", site=site)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    (sentence,) = (line for line in refused.stderr.splitlines() if "broken-lab" in line)
    assert named in sentence
    assert sentence.endswith("repair or reinstall that package.")


def test_a_folder_that_is_not_there_harms_nobody(site: Path) -> None:
    package = install_configs(site, "empty-lab", {})
    (site / package / "conf" / "__init__.py").unlink()
    (site / package / "conf").rmdir()
    assert seed("experiment=of_zenith", site=site) == 2
    with on_path(site):
        folders = {found.distribution: found.directory for found in registry.config_packages()}
    assert folders["empty-lab"] is None
    assert folders["zenith"] is not None
