"""Where the jobs of a sweep run: each in a directory of its own, whatever the user calls them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from hybridopt.errors import ResumeError
from hybridopt.execution.directory import State, state
from hybridopt.execution.identity import fingerprint, read_config
from hybridopt.sweep.plan import Job


def locate(job: Job, directory: Path, rerun: str, taken: dict[Path, str]) -> None:
    """Find out where a job runs and what has become of it: in a new directory where it starts again.

    No two jobs share a directory: one whose place is another one's, in this sweep or since a former one, gets a place
    with its fingerprint in the name.

    Args:
        job: its directory is a name, and becomes a path.
        directory: the sweep's.
        rerun: which jobs start again: "failed", "all" or "none".
        taken: the places of jobs that were located before, and their fingerprints; this one's is added.
    """
    first = directory / job.directory
    if not _is_free_for(job, first, taken):
        first = first.with_name(f"{first.name}-{job.fingerprint[:8]}")
    attempts = _attempts(job, first, taken)
    latest = attempts[-2] if len(attempts) > 1 else attempts[-1]
    job.found = state(latest)
    again = (rerun == "all" and job.found != State.NEW) or (rerun == "failed" and job.found == State.FAILED)
    job.directory = attempts[-1] if again else latest
    taken |= {first: job.fingerprint, job.directory: job.fingerprint}


def _attempts(job: Job, first: Path, taken: Mapping[Path, str]) -> list[Path]:
    """The directories of a job's attempts, and the next free one."""
    attempts = [first]
    for number in count(2):
        if state(attempts[-1]) == State.NEW:
            return attempts
        following = first.with_name(f"{first.name}-{number}")
        if _is_free_for(job, following, taken):
            attempts.append(following)
    raise AssertionError  # count() never ends


def _is_free_for(job: Job, place: Path, taken: Mapping[Path, str]) -> bool:
    """Whether a directory is no other job's, as its name tells, or else its config."""
    if taken.get(place, job.fingerprint) != job.fingerprint:
        return False
    if job.fingerprint[:8] in place.name or state(place) == State.NEW:
        return True
    try:
        return fingerprint(read_config(place)) == job.fingerprint
    except ResumeError:
        return False
