"""The conformance kit over the data sets of this package; the presets find a hub."""

import datasets
import pytest
from fake_hub import serving

from hybridopt.testing import installed, parametrize_with_checks


@pytest.fixture(scope="module")
def address(hub):
    with serving(hub) as address:
        yield address


@parametrize_with_checks(installed(package="hybridopt-huggingface"))
def test_conformance(plugin, check, address, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_ENDPOINT", address)
    check(plugin)
