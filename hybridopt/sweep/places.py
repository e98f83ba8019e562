"""Where the jobs of a sweep run: each in a directory of its own, whatever the user calls them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path

from hybridopt.errors import ResumeError
from hybridopt.execution.contents import Seen, changed, contents
from hybridopt.execution.directory import State, state
from hybridopt.execution.identity import digests_of, fingerprint, read_config
from hybridopt.sweep.plan import Job


def locate(job: Job, directory: Path, rerun: str, taken: dict[Path, str], seen: Seen) -> None:
    """Find out where a job runs and what has become of it: in a new directory where it starts again.

    It has run if it has with the same contents of all files that it names, and plugins of the same packages.

    No two jobs share a directory: one whose place is another one's, in this sweep or since a former one, gets a place
    with its fingerprint in the name.

    Args:
        job: its directory is a name, and becomes a path.
        directory: the sweep's.
        rerun: which jobs start again: "failed", "all" or "none".
        taken: the places of jobs that were located before, and their fingerprints; this one's is added.
        seen: what the files were that were looked at before; this one's are added.
    """
    first = directory / job.directory
    if not _is_free_for(job, first, taken):
        first = first.with_name(f"{first.name}-{job.fingerprint[:8]}")
    *former, new = _attempts(job, first, taken)
    job.contents = contents(job.config, seen)
    differing = [changed(digests_of(place), job.contents) for place in former]
    same = [place for place, names in zip(former, differing, strict=True) if not names]
    job.changed = differing[-1] if differing and not same else ()
    latest = same[-1] if same else new
    job.found = state(latest)
    again = (rerun == "all" and job.found != State.NEW) or (rerun == "failed" and job.found == State.FAILED)
    again = again and not job.refused  # it does not run: one directory is enough to say so
    job.directory = new if again else latest
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
