"""Jobs left in Slurm's queue by a Snakemake that was killed."""

from __future__ import annotations

import shutil
import subprocess

from .params import find_root

PREFIX = "xl-influence"  # of the names of our jobs, see profiles/slurm


def cancel() -> str:
    """Cancel jobs of an earlier Snakemake in this folder; call it before any job is submitted.

    Snakemake does not pick up such jobs again, so they would run, or wait, for nothing. What they
    have finished is reused: the new jobs continue from there.

    Returns
    -------
    str
        One sentence on what was cancelled; empty if nothing was, or if there is no Slurm.
    """
    if shutil.which("squeue") is None:
        return ""
    listed = _call("squeue", "--me", "--noheader", "--format=%A|%Z|%j")
    found = []
    for line in listed.splitlines():
        job, folder, name = line.split("|", 2)
        if name.startswith(f"{PREFIX}_") and folder == str(find_root()):
            found.append(job)
    if not found:
        return ""
    _call("scancel", *found)
    return f"Cancelled {len(found)} job(s) that a Snakemake left here when it was killed."


def _call(*command: str) -> str:
    """The output of a command; empty if it fails, as where no Slurm is configured."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""
