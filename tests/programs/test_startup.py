"""What a program's process is prepared for: heavy imports without the garbage collector, which goes on afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from hybridopt.programs import startup
from hybridopt.tracking import store


@pytest.fixture(autouse=True)
def at_first(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has run nothing; the allocator stays as it is."""
    monkeypatch.setattr("hybridopt.engine.memory.keep_freed_memory", lambda: None)
    startup._prepare.cache_clear()
    yield
    startup._prepare.cache_clear()


def test_what_was_imported_is_left_out_of_collections() -> None:
    new = [[] for _ in range(1000)]
    before = gc.get_freeze_count()
    startup.runner({"tracking": {"name": "none"}})
    assert gc.get_freeze_count() >= before + len(new)
    frozen = gc.get_freeze_count()
    also = [[] for _ in range(1000)]
    startup.runner({"tracking": {"name": "none"}})
    assert gc.get_freeze_count() == frozen, f"a later job of a sweep leaves its {len(also)} objects to the collector"
    assert gc.isenabled()


def test_garbage_is_collected_again_where_an_import_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(uri: str | None) -> None:
        assert not gc.isenabled()
        raise ImportError(uri)

    monkeypatch.setattr(store, "load", load)
    with pytest.raises(ImportError, match="sqlite"):
        startup.runner({"tracking": {"name": "mlflow", "uri": "sqlite:///a.db"}})
    assert gc.isenabled()
