"""Where programs are killed, and which: named points of a run and of a sweep, ten strategies, sweeps, two ranks."""

from __future__ import annotations

from chains import Case
from kills import Point, client, write

UNEXPORTED = "tracking.log_model=false"
QUICK = (
    "dataset=iris",
    "dataset.batch_size=16",
    "model.hidden=[4]",
    "budget.marks=8",
    "trainer.enable_progress_bar=false",
)
RUN = (*QUICK, "budget.forwards=1e5", "hydra.run.dir=run")
STRATEGIES = {  # ten, with a state of each kind: buffers, optimisers, libraries' own, phases
    "lottery_ticket": ("strategy=lottery_ticket",),
    "es_then_adam": ("experiment=es_then_adam", "dataset=iris"),
    "iterative_magnitude_pruning": ("strategy=iterative_magnitude_pruning",),
    "nevergrad": ("strategy=nevergrad", "strategy.optimizer=CMA", "budget.forwards=3e4"),
    "ensemble_kalman_inversion": ("strategy=ensemble_kalman_inversion",),
    "genetic_algorithm": ("strategy=genetic_algorithm",),
    "neat": ("strategy=neat", "model=genome_network"),
    "cma_es": ("strategy=cma_es",),
    "lbfgs": ("strategy=lbfgs",),
    "mezo": ("strategy=mezo", "budget.forwards=3e4"),
}


def of_run(name: str, *more: str) -> Case:
    """A run of one of the strategies."""
    chosen = (*STRATEGIES[name], *more)
    keys = {override.partition("=")[0] for override in chosen}
    keys |= {"model.hidden"} & {f"{key}.hidden" for key in keys}  # another model has settings of its own
    return Case(f"run {name}", (*(one for one in RUN if one.partition("=")[0] not in keys), *chosen))


def runs(*more: str) -> list[Case]:
    """A run of each strategy."""
    return [of_run(name, *more) for name in STRATEGIES]


SWEEP = (*QUICK, "budget.forwards=3e4", "tracking.log_model=false", "sweep.name=s")
SERIAL = Case("sweep, serial", ("-m", *SWEEP, "strategy=adam,openai_es", "seed=0,1"))
JOBLIB = ("-m", *SWEEP, "strategy=adam,openai_es", "seed=0,1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
JOBLIBS = [Case("sweep, joblib", JOBLIB), Case("sweep, joblib, parent alone", JOBLIB, whole_group=False)]
TWO = ("trainer.accelerator=cpu", "trainer.devices=2", "trainer.strategy=ddp", "strategy=openai_es")
RANKS = [
    Case("two ranks", (*RUN, *TWO, "tracking.log_model=false")),
    Case("two ranks, first alone", (*RUN, *TWO, "tracking.log_model=false"), whole_group=False),
]

WHOLE = ("half", "before", "after")  # the moments of an atomic write
JOURNAL = "hybridopt.tracking.journal:Journal"
AROUND = ("before", "after")
OF_RUN = [
    *(Point("hydra.core.utils:_save_config", when, nth=nth) for when, nth in (("before", 1), ("after", 2))),
    *(Point("hybridopt.tracking.files:hold", when) for when in AROUND),
    *(write("config.yaml", when) for when in WHOLE),
    *(write("run.key", when) for when in WHOLE),
    *(client("create_run", when) for when in AROUND),
    *(write("run.json", when) for when in WHOLE),
    *(Point(f"{JOURNAL}.__init__", when) for when in AROUND),
    *(write("code.txt", when) for when in WHOLE),
    *(Point("os:write", "half", "journal.jsonl", nth) for nth in (1, 3, 9, 30)),
    *(client("log_batch", when, nth) for when in AROUND for nth in (1, 3)),
    *(client("log_inputs", when) for when in AROUND),
    *(write("journal.delivered", when, nth) for when, nth in (("half", 1), ("before", 2), ("after", 3))),
    *(Point("pytorch_lightning:Trainer.fit", when) for when in AROUND),
    *(write("last.ckpt", when, nth) for when in WHOLE for nth in (1, 4)),
    write("last.ckpt", "after", 8),
    *(Point("pytorch_lightning:Trainer.test", when) for when in AROUND),
    Point("hybridopt.execution.trial:Trial.on_test_epoch_end", "after"),
    *(write("preprocessing.json", when) for when in WHOLE),
    *(write("weights.safetensors", when) for when in WHOLE),
    *(write("curve.png", when) for when in WHOLE),
    *(write("result.json", when) for when in WHOLE),
    *(Point(f"{JOURNAL}.artifact", when, nth=nth) for when, nth in (("before", 2), ("after", 3))),
    *(Point(f"{JOURNAL}.status", when) for when in AROUND),
    Point("os:fsync", "before", "journal.jsonl"),
    *(Point("hybridopt.tracking.writer:MlflowWriter.finish", when) for when in AROUND),
    *(client("log_artifact", when, nth) for when in AROUND for nth in (1, 3)),
    *(client("set_terminated", when) for when in AROUND),
    Point("hybridopt.execution.table:show", "before"),
]
OF_EXPORT = [
    *(Point("hybridopt.tracking.model:save_model", when) for when in AROUND),
    *(Point("mlflow.pytorch:save_model", when) for when in AROUND),
    *(client(call, when) for call in ("create_logged_model", "finalize_logged_model") for when in AROUND),
    client("log_model_artifacts", "after"),
    client("log_outputs", "after"),
    *(Point("os:rename", when, "model") for when in WHOLE),
]
OF_SWEEP = [
    *(Point("hybridopt.tracking.sweeps:adopt_sweep", when) for when in AROUND),
    *(client("create_run", when, nth) for when in AROUND for nth in (1, 2, 4)),
    *(write("run.json", when, nth) for when, nth in (("before", 1), ("after", 1), ("half", 3))),
    *(write("multirun.yaml", when) for when in WHOLE),
    *(write("sweep.json", when, nth) for when, nth in (("half", 1), ("before", 2), ("after", 2))),
    *(Point("hydra.core.utils:run_job", when, nth=2) for when in AROUND),
    write("config.yaml", "half", 2),
    *(write("last.ckpt", when, 12) for when in WHOLE),
    write("result.json", "after", 2),
    *(Point(f"{JOURNAL}.status", when, nth=2) for when in AROUND),
    Point("hybridopt.tracking.writer:MlflowWriter.finish", "before", nth=3),
    *(Point("hybridopt.report.make:make_report", when) for when in AROUND),
    *(write("jobs.csv", when) for when in WHOLE),
    *(Point("hybridopt.tracking.sweeps:share_view", when) for when in AROUND),
    *(Point("hybridopt.sweep.parent:ParentRun.close", when) for when in AROUND),
    *(client("set_terminated", when, 5) for when in AROUND),
]
OF_RANKS = [
    client("create_run", "after"),
    write("last.ckpt", "half", 3),
    Point("pytorch_lightning:Trainer.test", "before"),
    write("result.json", "after"),
    Point(f"{JOURNAL}.status", "after"),
]
