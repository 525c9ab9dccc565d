"""What each step of a run depends on, as a fingerprint: whether an artefact may be used is decided here."""

from . import data, runs
from .manifest import read_manifest

FINETUNE = (
    *data.KEYS,
    "encoder",
    "encoder_layers",
    "max_length",
    "variant",
    "learning_rate",
    "weight_decay",
    "warmup",
    "batch_size",
    "epochs",
    "patience",
    "seed",
    "bf16",
)
SCORES = (
    "test_size",
    "test_pool",
    "test_seed",
    "max_tokens",
    "test_memory",
    "precision",
    "storage",
    "shard_size",
)
PUBLISHED = (
    *FINETUNE,
    *data.CHANGES,
    "test_size",
    "test_pool",
    "test_seed",
    "precision",
    "storage",
)
SHOWN = 3  # differing parameters that an error names
FORMATS = {"finetune": 1, "scores": 3}  # of the artefacts


def finetuned(params):
    """Hash of all that fine-tuning depends on: parameters and the data's source."""
    changes = {key: params[key] for key in data.CHANGES if params[key]}
    changes |= {"test_seed": params["test_seed"]} if params["planted"] else {}
    keys = runs.pick(params, FINETUNE) | changes
    return runs.fingerprint("finetune", FORMATS["finetune"], keys, data.source_fingerprint(params))


def scored(params, borrowed=None):
    """Hash of all that the score cube depends on; `borrowed`: uids of test samples taken from another run."""
    parts = [finetuned(params), runs.pick(params, SCORES), *([borrowed] if borrowed else [])]
    return runs.fingerprint("scores", FORMATS["scores"], *parts)


def is_finetuned(run, mark):
    return read_manifest(run).get("finetune_fingerprint") == mark


def is_scored(run, mark):
    return read_manifest(run).get("scores_fingerprint") == mark and (run / "scores.zarr").is_dir()


def is_published(run, params):
    """Whether the run is a published one, which is read and never computed; `RunError` where it has other parameters."""
    if not runs.is_published(run):
        return False
    differing = differences(read_manifest(run)["parameters"], runs.pick(params, PUBLISHED))
    if differing:
        raise runs.RunError(
            f"{run} is a published run with other parameters: {differing}. Set runs_root to compute your own"
        )
    return True


def differences(found, wanted):
    """The values of `found` that are not as `wanted`, in words; empty where all are."""
    differing = [key for key, value in found.items() if key in wanted and wanted[key] != value]
    more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
    return (
        "; ".join(f"{key} was {found[key]!r}, is {wanted[key]!r} here" for key in differing[:SHOWN])
        + more
    )
