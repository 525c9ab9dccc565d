"""How fast fine-tuning is: `.venv/bin/python benchmarks/finetuning.py --threads 2` writes `finetuning.json`; minutes, idle.

Each way fine-tunes an encoder of the shape of multilingual-e5-small on samples of one length with Hugging Face's Trainer:
`plain` as PyTorch and transformers have it, `ours` as `xl_influence.trainer` builds it. The ways take turns, several times,
each beside the rate of a plain matrix product in the same process. The work is counted as 6 floating-point operations for
each weight of the encoder's Linear layers and each token; attention's own products come on top and are not counted.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm
from transformers import BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from xl_influence import e5small, params, trainer
from xl_influence.engine.arithmetic import arithmetic

HERE = Path(__file__).parent
LENGTH, VOCABULARY, WARM_UP = (
    55,
    16_000,
    4,
)  # tokens, as in a pair; rows in use; steps before the clock starts
WAYS = [  # way, batch size, mixed precision
    ("plain", 8, False),
    ("ours", 8, False),
    ("ours", 16, False),
    ("ours", 32, False),
    ("ours", 16, True),
    ("ours", 32, True),
]
CPU = torch.device("cpu")


def classifier():
    """An encoder of 12 layers, 384 wide, with a classification head; random weights take the same time as trained ones."""
    torch.manual_seed(0)
    sizes = e5small.read(weights=False)["config"] | {"vocabulary": VOCABULARY}
    return BertForSequenceClassification(e5small.make_config(sizes, pad_token_id=1)).train()


def linear_weights(model):
    return sum(
        module.weight.numel()
        for module in model.bert.encoder.modules()
        if isinstance(module, torch.nn.Linear)
    )


def samples(count):
    """Token ids of `count` samples of one length, and their labels."""
    random = np.random.default_rng(0)
    return random.integers(4, VOCABULARY, (count, LENGTH)).tolist(), random.integers(
        0, 2, count
    ).tolist()


def plain(ids, labels, batch_size, bf16, work):
    """The Trainer as it is, with this batch size."""
    data = [
        {"input_ids": torch.tensor(one), "labels": label}
        for one, label in zip(ids, labels, strict=True)
    ]
    sizes = {
        "per_device_train_batch_size": batch_size,
        "num_train_epochs": 1,
        "bf16": bf16,
        "use_cpu": True,
    }
    arguments = TrainingArguments(
        work, **sizes, save_strategy="no", report_to="none", disable_tqdm=True
    )
    return Trainer(model=classifier(), args=arguments, train_dataset=data)


def ours(ids, labels, batch_size, bf16, work):
    """The Trainer as fine-tuning uses it."""
    given = params.merge({"study": "demo"}) | {"batch_size": batch_size, "bf16": bf16, "epochs": 1}
    frame = pd.DataFrame({"lang": "en", "label": labels})
    parts, sequences = {"train": frame, "validation": frame[:0]}, {"train": ids, "validation": []}
    inputs = {"samples": parts, "sequences": sequences, "pad": 1}
    return trainer.build(given, classifier(), **inputs, work=work, device=CPU, stop_after=1)


class Clock(TrainerCallback):
    """The time at the end of every step."""

    def __init__(self):
        self.times = []

    def on_step_end(self, *args, **kwargs):
        self.times.append(time.perf_counter())


def rate(way, batch_size, bf16, steps):
    """Samples per second of `steps` steps, the first ones not counted."""
    ids, labels = samples(batch_size * (steps + WARM_UP))
    clock = Clock()
    with tempfile.TemporaryDirectory() as work:
        built = {"plain": plain, "ours": ours}[way](ids, labels, batch_size, bf16, work)
        built.add_callback(clock)
        built.train()
    return batch_size * steps / (clock.times[-1] - clock.times[WARM_UP - 1])


def product(bf16=False, side=2048, repeats=4):
    """Floating-point operations per second of a plain product of square matrices, by the faster library that is exact."""
    square = torch.randn(side, side, dtype=torch.bfloat16 if bf16 else torch.float32)
    with arithmetic(CPU):
        square @ square
        start = time.perf_counter()
        for _ in range(repeats):
            square @ square
    return repeats * 2 * side**3 / (time.perf_counter() - start)


def measure(way, batch_size, bf16, steps, operations):
    """(samples per second, share of the plain product, its rate), with the product measured before and after."""
    before = product(bf16)
    found = rate(way, batch_size, bf16, steps)
    limit = (before + product(bf16)) / 2
    return found, found * operations / limit, limit


def summary(way, batch_size, bf16, several):
    """One way's row: medians, and the least and most of its share of the plain product."""
    rates, shares, limits = zip(*several, strict=True)
    middle = {
        "rate": statistics.median(rates),
        "of_product": statistics.median(shares),
        "product": statistics.median(limits),
    }
    return {
        "way": way,
        "batch_size": batch_size,
        "bf16": bf16,
        **middle,
        "least": min(shares),
        "most": max(shares),
    }


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    operations = 6 * linear_weights(classifier()) * LENGTH
    found = {way: [] for way in WAYS}
    for way in tqdm(WAYS * given.repeats, mininterval=10):
        found[way].append(measure(*way, given.steps, operations))
    machine = {
        "processor": processor(),
        "torch": torch.__version__,
        "length": LENGTH,
        **vars(given),
    }
    text = json.dumps(
        {"machine": machine, "rows": [summary(*way, several) for way, several in found.items()]},
        indent=1,
    )
    (HERE / "finetuning.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
