"""The hub is not asked."""

import huggingface_hub.constants
import pytest

NOWHERE = "http://127.0.0.1:9"  # nobody listens on the discard port


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory, monkeypatch):
    """Nothing is read from the user's cache or from the hub, nor written there."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path_factory.getbasetemp() / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", NOWHERE)
