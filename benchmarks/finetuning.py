"""How fast fine-tuning is: `.venv/bin/python benchmarks/finetuning.py --threads 2`.

Writes `finetuning.json`; takes minutes, on a machine that is otherwise idle. Each set-up fine-tunes
an encoder of the shape of multilingual-e5-small on samples of one length with Hugging Face's
Trainer: `plain` with the defaults of PyTorch and transformers, `xl-influence` as
`xl_influence.trainer` builds it. The set-ups take turns, several times, each beside the rate of a
plain matrix product in the same process. We count 6 floating-point operations per token and per
weight of the encoder's Linear layers; attention's own products are not counted.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from common import HERE, THIS_LIBRARY, count_linear_weights
from tqdm import tqdm
from transformers import BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from xl_influence import e5small, params, trainer
from xl_influence.engine.arithmetic import arithmetic
from xl_influence.manifest import read_processor_name

LENGTH = 55  # tokens per sample, as in a pair of sentences
VOCABULARY = 16_000  # rows of the table of word embeddings
WARM_UP = 4  # steps before the clock starts
CPU = torch.device("cpu")


class Setup(NamedTuple):
    """How to fine-tune: whose Trainer, samples per step, and whether in mixed precision."""

    trainer: str
    batch_size: int
    bf16: bool


class Measurement(NamedTuple):
    """Samples per second, their work as a share of the plain product's rate, and that rate."""

    rate: float
    share: float
    product: float


SETUPS = [
    Setup("plain", 8, bf16=False),
    Setup(THIS_LIBRARY, 8, bf16=False),
    Setup(THIS_LIBRARY, 16, bf16=False),
    Setup(THIS_LIBRARY, 32, bf16=False),
    Setup(THIS_LIBRARY, 16, bf16=True),
    Setup(THIS_LIBRARY, 32, bf16=True),
]


def make_classifier() -> BertForSequenceClassification:
    """An encoder of 12 layers, 384 wide, with a classification head.

    Its weights are random, which take the same time as trained ones.
    """
    torch.manual_seed(0)
    sizes = e5small.read(weights=False)["config"] | {"vocabulary": VOCABULARY}
    return BertForSequenceClassification(e5small.make_config(sizes, pad_token_id=1)).train()


def draw_samples(count: int) -> tuple[list[list[int]], list[int]]:
    """Token ids of `count` random samples, all of one length, and their labels."""
    random = np.random.default_rng(0)
    ids = random.integers(4, VOCABULARY, (count, LENGTH)).tolist()
    return ids, random.integers(0, 2, count).tolist()


def build_plain(ids: list[list[int]], labels: list[int], setup: Setup, work: str) -> Trainer:
    """The Trainer with its defaults.

    Parameters
    ----------
    ids, labels
        The samples.
    setup
        Batch size and precision.
    work
        A folder for the Trainer's files.
    """
    samples = zip(ids, labels, strict=True)
    data = [{"input_ids": torch.tensor(one), "labels": label} for one, label in samples]
    arguments = TrainingArguments(
        work,
        per_device_train_batch_size=setup.batch_size,
        num_train_epochs=1,
        bf16=setup.bf16,
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    return Trainer(model=make_classifier(), args=arguments, train_dataset=data)


def build_study(ids: list[list[int]], labels: list[int], setup: Setup, work: str) -> Trainer:
    """The Trainer as the study uses it; the parameters are those of `build_plain`."""
    choice = {"batch_size": setup.batch_size, "bf16": setup.bf16, "epochs": 1}
    given = params.merge({"study": "demo"}) | choice
    frame = pd.DataFrame({"lang": "en", "label": labels})
    parts, sequences = {"train": frame, "validation": frame[:0]}, {"train": ids, "validation": []}
    inputs = {"samples": parts, "sequences": sequences, "pad": 1}
    return trainer.build(given, make_classifier(), **inputs, work=work, device=CPU, stop_after=1)


class Clock(TrainerCallback):
    """The time at the end of every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """Note the time."""
        self.times.append(time.perf_counter())


def measure_rate(setup: Setup, steps: int) -> float:
    """Samples per second in `steps` steps, after those that warm up."""
    ids, labels = draw_samples(setup.batch_size * (steps + WARM_UP))
    build = build_plain if setup.trainer == "plain" else build_study
    clock = Clock()
    with tempfile.TemporaryDirectory() as work:
        built = build(ids, labels, setup, work)
        built.add_callback(clock)
        built.train()
    return setup.batch_size * steps / (clock.times[-1] - clock.times[WARM_UP - 1])


def measure_product(bf16: bool = False, side: int = 2048, repeats: int = 4) -> float:
    """FLOP/s of a plain product of square matrices, by the faster library that is exact.

    Parameters
    ----------
    bf16
        Whether the matrices are bfloat16 instead of float32.
    side
        Rows and columns of a matrix.
    repeats
        Products to time.
    """
    square = torch.randn(side, side, dtype=torch.bfloat16 if bf16 else torch.float32)
    with arithmetic(CPU):
        square @ square
        start = time.perf_counter()
        for _ in range(repeats):
            square @ square
    return repeats * 2 * side**3 / (time.perf_counter() - start)


def measure(setup: Setup, steps: int, operations: int) -> Measurement:
    """Measure one set-up once, with the plain product before and after.

    Parameters
    ----------
    setup
        The set-up.
    steps
        Steps to time.
    operations
        Floating-point operations per sample.
    """
    before = measure_product(setup.bf16)
    rate = measure_rate(setup, steps)
    product = (before + measure_product(setup.bf16)) / 2
    return Measurement(rate, rate * operations / product, product)


def summarize(setup: Setup, repeats: Sequence[Measurement]) -> dict[str, Any]:
    """One set-up's row in the file: medians of its repeats, and the least and most of its share."""
    shares = [one.share for one in repeats]
    return {
        "way": setup.trainer,
        "batch_size": setup.batch_size,
        "bf16": setup.bf16,
        "rate": statistics.median(one.rate for one in repeats),
        "of_product": statistics.median(shares),
        "product": statistics.median(one.product for one in repeats),
        "least": min(shares),
        "most": max(shares),
    }


def main() -> None:
    """Measure all set-ups, write `finetuning.json` and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    operations = 6 * count_linear_weights(make_classifier().bert.encoder) * LENGTH
    found: dict[Setup, list[Measurement]] = {setup: [] for setup in SETUPS}
    for setup in tqdm(SETUPS * options.repeats, mininterval=10):
        found[setup].append(measure(setup, options.steps, operations))
    machine = {
        "processor": read_processor_name(),
        "torch": torch.__version__,
        "length": LENGTH,
        **vars(options),
    }
    rows = [summarize(setup, repeats) for setup, repeats in found.items()]
    text = json.dumps({"machine": machine, "rows": rows}, indent=1)
    (HERE / "finetuning.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
