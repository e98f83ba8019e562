"""A sweep runs again what has read other data, in a new directory, and nothing for what does not matter."""

from __future__ import annotations

from pathlib import Path

from test_sweep_run import NO_MODEL, TRACKED, children, parents

from hybridopt.execution.identity import note_digests
from hybridopt.sweep.board import mixed_data
from hybridopt.sweep.plan import Job
from hybridopt.sweep.trials import open_study


def table(path: Path, swapped: bool) -> None:
    """Two classes; their names mean something else where they are swapped."""
    rows = [f"{i % 7},{i * i % 11},{'pq'[(i % 7 > 3) != swapped]}" for i in range(60)]
    path.write_text("\n".join(["a,b,y", *rows]) + "\n")


def test_a_job_whose_data_have_changed_runs_again_beside_its_former_run(sweep, directories, tmp_path: Path) -> None:
    data = ("dataset=arrays", "dataset.path=mine.csv", "dataset.target=y", "dataset.batch_size=16")
    command = (*data, "strategy=adam", "sweep.name=grows", "sweep.report=false", NO_MODEL)
    table(tmp_path / "mine.csv", swapped=False)
    assert sweep(*command, tracking=TRACKED).outcomes == {"ran": 1}
    assert sweep(*command, "trainer.enable_progress_bar=false", "tracking.experiment=hybridopt",
                 tracking=TRACKED).outcomes == {"skipped": 1}  # fmt: skip
    (first,) = directories("grows").values()
    table(tmp_path / "mine.csv", swapped=True)
    again = sweep(*command[:-2], "sweep.report=true", NO_MODEL, tracking=TRACKED)
    assert again.outcomes == {"ran": 1}
    assert "dataset.path changed since jobs ran that read it: 1 of 1 job runs again, in new directories" in again.out
    assert set(directories("grows").values()) == {first, first.with_name(f"{first.name}-2")}
    (parent,) = parents(tmp_path / "mlflow.db")
    runs = children(tmp_path / "mlflow.db", parent.info.run_id)
    assert len({run.data.tags["hybridopt.data"] for run in runs}) == 2
    assert len({run.data.tags["hybridopt.fingerprint"] for run in runs}) == 1
    report = (tmp_path / "multirun/grows/report/report.md").read_text()
    assert "There are 2 versions of the data under the name arrays" in report
    (tmp_path / "multirun").rename(tmp_path / "elsewhere")
    assert sweep(*command, tracking=TRACKED).outcomes == {"skipped": 1}  # as the store knows
    table(tmp_path / "mine.csv", swapped=False)
    assert sweep(*command, "seed=0,1", tracking=TRACKED).outcomes == {"skipped": 1, "ran": 1}


def test_jobs_of_a_former_version_are_accepted_with_a_word(sweep, directories, tmp_path: Path) -> None:
    data = ("dataset=arrays", "dataset.path=mine.csv", "dataset.target=y", "dataset.batch_size=16")
    table(tmp_path / "mine.csv", swapped=False)
    sweep(*data, "strategy=adam")
    (job,) = directories().values()
    (job / "digests.json").unlink()
    table(tmp_path / "mine.csv", swapped=True)
    again = sweep(*data, "strategy=adam")
    assert again.outcomes == {"skipped": 1}
    assert (
        "Of 1 finished job it was not kept what was read, so that nobody knows whether dataset.path changed"
        in again.out + again.err
    )


def test_jobs_that_found_other_data_than_others_are_told(tmp_path: Path) -> None:
    def jobs(*digests: str) -> list[Job]:
        made = [Job([], {"dataset": "hub", "seed": 0}, "f", "x", tmp_path / digest) for digest in digests]
        for job in made:
            job.directory.mkdir(exist_ok=True)
            note_digests(job.directory, {"data": job.directory.name})
        return made

    assert mixed_data(jobs("a", "a")) == ""
    assert "different versions of the data (2 of a, 1 of b)" in mixed_data(jobs("a", "a", "b"))
    other_seed = jobs("b")
    other_seed[0].config["seed"] = 1
    assert mixed_data([*jobs("a"), *other_seed]) == ""


def test_a_study_on_other_data_begins_anew(tmp_path: Path) -> None:
    def opened(digest: str, again: bool = False) -> tuple[str, int]:
        read = {"plugin dataset": "hybridopt", "file dataset.path": digest}
        study = open_study(tmp_path, "adam", "minimize", "random", 0, again, read)
        study.tell(study.ask(), 1.0)
        return study.study_name, len(study.trials)

    assert [opened("1"), opened("1"), opened("2"), opened("1"), opened("2")] == [
        ("adam", 1), ("adam", 2), ("adam (2)", 1), ("adam", 3), ("adam (2)", 2),
    ]  # fmt: skip
    assert opened("2", again=True) == ("adam (2)", 1)
