"""Compute the methods that weigh gradients: EK-FAC, and the Adam-weighted cosine.

    python -m xl_influence.methods.curvature study=demo-subsets task=pawsx

Both go to the run's folder, where the other methods' commands and notebooks find them. What was
computed before is kept. It takes one more training, and minutes for a small study.
"""

from __future__ import annotations

import sys

from .. import params
from . import commands
from .ekfac import compute_ekfac
from .second_moments import compute_adam_cosine


def work() -> str:
    """Compute both for the run that the command line names, and say where they are."""
    config = params.merge(params.parse(sys.argv[1:]))
    found = [compute(config) for compute in (compute_adam_cosine, compute_ekfac)]
    return "\n".join(f"Written: {path}" for path in found)


if __name__ == "__main__":
    sys.exit(commands.run(work))
