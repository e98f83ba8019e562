"""What a job of a sweep is called in MLflow, alone and together with those that differ in the seed alone."""

from __future__ import annotations

from hybridopt.sweep.plan import Job
from hybridopt.tracking.sweeps import GROUP, LONGEST, NAME


def name_tags(job: Job) -> dict[str, str]:
    """The tags by which its run is listed, and grouped with others."""
    return {NAME: shortened(job.label), GROUP: group(job)}


def group(job: Job) -> str:
    """What a job has in common with those that differ from it in the seed alone, in words; trials are told apart."""
    kept = [part for part in job.label.split(" · ") if not part.startswith(("seed ", "trial "))]
    return " · ".join(["tuning", *kept] if job.tags.get("hybridopt.role") == "trial" else kept)


def shortened(label: str) -> str:
    """The name of a run: as in the table, so that jobs which differ by a setting alone have two names."""
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"
