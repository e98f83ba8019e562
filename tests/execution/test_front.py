"""Runs with several objectives: their front is validated at the marks, tested once, kept, and exported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import moocore
import pandas
import pytest
import torch
from jobs import SMALL
from pytorch_lightning import Trainer
from safetensors.torch import load_file, save_file
from torch import Tensor

from hybridopt import Budget, FrontSearch, Trial, build, compose, run
from hybridopt.engine.forward import OfOne
from hybridopt.errors import ConfigError
from hybridopt.execution import experiment
from hybridopt.execution.front import Front
from hybridopt.programs.front import main
from hybridopt.toolbox.fronts import Choice, nondominated

OBJECTIVES = "objectives={loss: cross_entropy, sparsity: zero_weights, norm: l1_norm}"
PRUNING = ("strategy=iterative_magnitude_pruning", "strategy.rounds=3", "budget.forwards=2e4")


@pytest.fixture(scope="module")
def pruned(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return run(*SMALL, OBJECTIVES, *PRUNING, directory=tmp_path_factory.mktemp("front") / "run")


def last(result: Any) -> pandas.DataFrame:
    table = pandas.read_parquet(Path(result.directory) / "front.parquet")
    return table[table["last"]]


def test_what_is_recommended_on_the_way_is_the_front_of_a_strategy_that_searches_none(pruned: Any) -> None:
    members = last(pruned)
    readings = torch.tensor(members[["val/loss", "val/sparsity", "val/norm"]].to_numpy())
    assert len(members) > 1
    assert bool(nondominated(readings).all())
    assert pruned.summary["final/val/front_size"] == len(members)
    best = pandas.read_parquet(Path(pruned.directory) / "front.parquet")["val/loss"].min()
    assert members["val/loss"].min() == best  # nothing that was best on the way is lost


@pytest.mark.parametrize("engine", [(), ("oracle.precision=bf16",)])
def test_members_are_validated_as_the_recommended_network_is(engine: tuple[str, ...], tmp_path: Path) -> None:
    search = ("strategy=openai_es", "budget.forwards=5e3", "budget.marks=1")
    result = run(*SMALL[:-1], OBJECTIVES, *search, *engine, directory=tmp_path / "run")
    (member,) = last(result).to_dict("records")
    assert member["val/loss"] == pytest.approx(result.summary["final/val/loss"], rel=1e-5)
    assert member["test/loss"] == pytest.approx(result.summary["test/loss"], rel=1e-5)


def test_hypervolume_is_that_of_the_table_from_a_little_beyond_the_network_before_training(pruned: Any) -> None:
    checkpoint = torch.load(Path(pruned.directory) / "checkpoints/last.ckpt", weights_only=True)
    corner = checkpoint["hybridopt"]["front"]["reference"]
    assert float(corner[1]) == pytest.approx(1.1)  # all weights, and a tenth
    for stage, metric in (("val", "final/val/hypervolume"), ("test", "test/hypervolume")):
        points = last(pruned)[[f"{stage}/{name}" for name in ("loss", "sparsity", "norm")]].to_numpy()
        assert pruned.summary[metric] == pytest.approx(moocore.hypervolume(points, ref=corner.numpy()))


def test_an_exported_member_is_the_one_of_the_table(pruned: Any, tmp_path: Path, capsys: Any) -> None:
    member = last(pruned).iloc[-1]
    main(["export", pruned.directory, "--member", str(member["member"]), "--out", str(tmp_path / "out")])
    assert "weights.safetensors" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/preprocessing.json").read_text())["targets"]["classes"] == [0, 1, 2]
    weights = f"weights={tmp_path / 'out/weights.safetensors'}"
    model, objective, data = build_of(compose(*SMALL, OBJECTIVES, weights))
    data.setup("test")
    inputs, targets = next(iter(data.test_dataloader()))
    outputs = model.eval()(inputs).detach()
    assert objective.loss(outputs, targets).item() == pytest.approx(member["test/loss"], rel=1e-5)
    sparsity = objective.parts["sparsity"]
    value = sparsity.loss(sparsity.outputs(OfOne(model, inputs), (inputs, targets))[0], targets)
    assert value.item() == pytest.approx(member["test/sparsity"])


def build_of(config: Any) -> tuple[Any, Any, Any]:
    made = build(config)
    return made.trial.model, made.trial.objective, made.datamodule


def test_a_front_is_shown_a_member_a_line(pruned: Any, capsys: Any) -> None:
    main(["show", pruned.directory])
    shown = capsys.readouterr().out
    assert "test/sparsity" in shown
    assert len([line for line in shown.splitlines() if line.strip()[:1].isdigit()]) == len(last(pruned))


def test_what_cannot_be_exported_is_refused_in_a_sentence(pruned: Any, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    plain = run(*SMALL, "strategy=adam", "budget.forwards=2e3", directory=tmp_path / "plain")
    cases = {
        "has the members 0 to": ["export", pruned.directory, "--member", "99"],
        "is there already": ["export", pruned.directory, "--member", "0", "--out", str(tmp_path / "full")],
        "has no front: it has one": ["show", plain.directory],
        "There is no run": ["show", str(tmp_path)],
    }
    for sentence, arguments in cases.items():
        with pytest.raises(SystemExit, match=sentence):
            main(arguments)


def test_weights_that_are_not_those_of_the_table_are_refused(tmp_path: Path) -> None:
    result = run(*SMALL, OBJECTIVES, *PRUNING, directory=tmp_path / "run")
    path = tmp_path / "run/checkpoints/front.safetensors"
    kept = load_file(path)
    save_file({"front": kept["front"] + 1}, path)
    with pytest.raises(SystemExit, match=r"does not hold what front.parquet"):
        main(["export", result.directory, "--member", "0"])
    assert not (tmp_path / "run/front_0").exists()


class Sampled(FrontSearch):
    """Random networks around the start, of which the best trade-offs are kept."""

    members: Tensor
    known: Tensor

    def __init__(self, choice: str = "knee"):
        super().__init__(Choice(choice))  # pyright: ignore[reportArgumentType]

    def start(self, x0: Tensor) -> None:
        self.register_buffer("x0", x0)
        self.register_buffer("members", x0[None])
        self.register_buffer("known", x0.new_full((1, len(self.names)), torch.inf))

    def ask(self) -> Tensor:
        noise = torch.randn(8, len(self.x0), generator=self.generator)
        return torch.cat([self.members, self.x0 + noise])

    def tell(self, population: Tensor, readings: Tensor) -> None:
        best = nondominated(readings)
        self.members, self.known = population[best], readings[best]

    def front(self) -> Tensor:
        return self.members

    def front_readings(self) -> Tensor:
        return self.known


def test_a_search_tells_its_front_and_recommends_by_its_rule() -> None:
    objectives = "objectives={loss: cross_entropy, norm: l1_norm}"
    model, objective, data = build_of(compose(*SMALL, objectives, "strategy=adam", "dataset.batch_size=null"))
    search = Sampled("lexicographic")
    own = Trial(model, objective, search, Budget(forwards=5e3, marks=3), seed=1)
    Trainer(**Trial.trainer_settings, logger=False, enable_checkpointing=False, enable_progress_bar=False).fit(
        own, data
    )
    front = own.front
    assert isinstance(front, Front)
    assert len(front.marks) == 3
    assert len(front.readings) <= len(search.members)
    chosen = search.recommend()
    assert torch.equal(chosen, search.members[search.known[:, 0].argmin()])
    again = Front(objective)
    again.load(front.state())
    assert again.hypervolume(again.readings) == own.curve[-1][1]["val/hypervolume"]


def test_one_objective_is_refused_by_a_search_for_fronts() -> None:
    model, objective, _ = build_of(compose(*SMALL, "strategy=adam"))
    with pytest.raises(ConfigError, match=r"searches a front of several objectives, and there is one, CrossEntropy"):
        Trial(model, objective, Sampled(), Budget(forwards=1e3))


def test_a_run_that_goes_on_has_the_front_of_one_that_was_never_stopped(tmp_path: Path, monkeypatch: Any) -> None:
    whole = run(*SMALL, OBJECTIVES, *PRUNING, directory=tmp_path / "whole")
    kept = experiment.write_front
    monkeypatch.setattr(experiment, "write_front", fail)
    with pytest.raises(RuntimeError, match="no more"):
        run(*SMALL, OBJECTIVES, *PRUNING, directory=tmp_path / "stopped")
    monkeypatch.setattr(experiment, "write_front", kept)
    again = run(f"resume={tmp_path / 'stopped'}")
    pandas.testing.assert_frame_equal(last(whole), last(again))
    assert (
        json.loads((tmp_path / "stopped/result.json").read_text())["summary"]["final/val/hypervolume"]
        == (whole.summary["final/val/hypervolume"])
    )


def fail(*_: Any) -> None:
    raise RuntimeError("no more")
