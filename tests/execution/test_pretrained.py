"""Training that starts from weights which are there: of a run, a file, or a folder of Hugging Face."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from jobs import SMALL
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from hybridopt import build, compose, run
from hybridopt.composition.compose import plain_values
from hybridopt.errors import ConfigError, HybridoptError, StorageError
from hybridopt.execution.contents import contents, files
from hybridopt.execution.identity import fingerprint
from hybridopt.execution.pretrained import write_weights

JOB = (*SMALL, "budget.forwards=2e3", "budget.marks=2", "trainer.enable_progress_bar=false")


def network(*overrides: str) -> nn.Module:
    return build(compose(*JOB, *overrides)).trial.model


def named(model: nn.Module) -> dict[str, Tensor]:
    return {name: value + 1 for name, value in model.state_dict().items()}


def write(tensors: dict[str, Tensor], kind: str, folder: Path) -> Path:
    """Weights in one of the forms in which people have them."""
    halves = [dict(list(tensors.items())[part::2]) for part in (0, 1)]
    folder.mkdir(exist_ok=True)
    if kind == "safetensors":
        save_file(tensors, folder / "mine.safetensors")
    elif kind == "folder":
        save_file(tensors, folder / "model.safetensors")
    elif kind == "sharded":
        for i, half in enumerate(halves):
            save_file(half, folder / f"model-{i}.safetensors")
        places = {name: f"model-{i}.safetensors" for i, half in enumerate(halves) for name in half}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    else:
        forms = {"pt": tensors, "ckpt": {"state_dict": tensors, "epoch": 3}, "pth": {"model_state_dict": tensors}}
        torch.save(forms[kind], folder / f"mine.{kind}")
    return folder if kind in ("folder", "sharded") else folder / f"mine.{kind}"


@pytest.mark.parametrize("kind", ["safetensors", "folder", "sharded", "pt", "ckpt", "pth"])
def test_each_form_is_read(kind: str, tmp_path: Path) -> None:
    wanted = named(network())
    place = write(wanted, kind, tmp_path / "weights")
    found = network(f"weights={place}").state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_run_is_evolved_first_and_tuned_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first, then = tmp_path / "first", tmp_path / "then"
    evolved = run(*JOB, "strategy=openai_es", "strategy.popsize=10", "objective=zero_one", directory=first)
    with caplog.at_level(logging.INFO, "hybridopt"):
        tuned = run(*JOB, "strategy=sgd", "strategy.lr=1e-9", f"weights={first}", directory=then)
    told = [line for line in caplog.messages if line.startswith("weights=")]
    assert told == [f"weights={first}: {len(evolved.module.state_dict())} tensors taken."]
    for one, other in zip(evolved.module.parameters(), tuned.module.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_what_a_run_leaves_are_weights_and_a_network(tmp_path: Path) -> None:
    done = run(*JOB, "strategy=adam", directory=tmp_path / "run")
    plain = load_file(tmp_path / "run" / "checkpoints" / "weights.safetensors")
    again = run(f"resume={tmp_path / 'run'}")
    assert again.module.training == done.module.training
    for state in (plain, again.module.state_dict()):
        assert state.keys() == done.module.state_dict().keys()
        assert all(torch.equal(state[name], value) for name, value in done.module.state_dict().items())


def test_tied_weights_are_written_under_both_names(tmp_path: Path) -> None:
    model = nn.ModuleDict({"a": nn.Linear(3, 3), "b": nn.Linear(3, 3)})
    model["b"].weight = model["a"].weight
    write_weights(model, tmp_path / "tied.safetensors")
    assert model.load_state_dict(load_file(tmp_path / "tied.safetensors")).missing_keys == []


def test_weights_that_cannot_be_written_end_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(StorageError, match=r"The weights .* cannot be written .* resume=.* to have them written"):
        write_weights(nn.Linear(2, 2), tmp_path / "checkpoints" / "weights.safetensors")


@pytest.mark.parametrize(("there", "prefix"), [("body.", "body"), ("", "1")])
def test_prefixes_are_taken_off_or_put_on(there: str, prefix: str, tmp_path: Path) -> None:
    own = named(network())
    wanted = own if there else {name: value for name, value in own.items() if name.startswith(f"{prefix}.")}
    kept = {f"{there}{name.removeprefix('' if there else '1.')}": value for name, value in wanted.items()}
    place = write(kept, "safetensors", tmp_path / "weights")
    assert len(kept) == (len(own) if there else 2)
    found = network(f"weights={place}", f"weights.prefix={prefix}", "weights.strict=false").state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_another_head_is_left_as_it_is(tmp_path: Path) -> None:
    own = named(network())
    (*_, head) = [name for name, value in own.items() if value.ndim == 2]
    place = write(own | {head: torch.ones(3, 3), "more": torch.ones(2)}, "pt", tmp_path / "weights")
    with pytest.raises(ConfigError) as caught:
        network(f"weights={place}")
    shapes = f"{head} (3, 3) for {tuple(own[head].shape)}"
    assert f"1 not in the network (more); 1 of another shape ({shapes}); choose the model" in str(caught.value)
    found, fresh = network(f"weights={place}", "weights.strict=false").state_dict(), network().state_dict()
    assert torch.equal(found[head], fresh[head])
    assert all(torch.equal(found[name], value) for name, value in own.items() if name != head)


class Evil:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("touched"),)


@pytest.mark.parametrize("case", ["nothing", "damaged", "pickle", "no tensors", "none fits", "text"])
def test_what_cannot_be_taken(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / ("mine.safetensors" if case == "damaged" else "mine.pt")
    if case in ("damaged", "text"):
        place.write_bytes(b"nothing of the kind" * 9)
    elif case != "nothing":
        torch.save({"pickle": Evil(), "no tensors": {"a": 1}, "none fits": {"a": torch.ones(1)}}[case], place)
    with pytest.raises(HybridoptError) as caught:
        network(f"weights={place}", "weights.strict=false")
    assert str(place) in str(caught.value)
    assert not Path("touched").exists()


def test_what_the_file_holds_is_part_of_a_jobs_identity(tmp_path: Path) -> None:
    config = plain_values(compose(*JOB, f"weights={tmp_path / 'weights' / 'mine.pt'}"))
    seen = []
    for shift in (0, 1):
        write({name: value + shift for name, value in named(network()).items()}, "pt", tmp_path / "weights")
        seen.append(files(contents(config))["weights.source"])
    assert seen[0] != seen[1]
    without = plain_values(compose(*JOB))
    assert fingerprint(without) != fingerprint(config)
    del without["weights"]
    assert fingerprint(without) == fingerprint(plain_values(compose(*JOB)))  # as before there was the setting
