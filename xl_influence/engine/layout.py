"""How many samples have their gradients in memory at the same time."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psutil
import torch

from .coverage import Plan
from .gradients import trainable

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Fewest training samples in a tile, where the memory allows: a GPU is slow on small work
TRAIN_TILE = {"cpu": 0, "cuda": 2048}
REBUILD_SHARE = 0.05  # of the work, see `_enough_training`
GB = 2**30


class Layout(NamedTuple):
    """Samples in a test tile and in a training tile."""

    test_tile: int
    train_tile: int


def choose_layout(
    n_test: int,
    mean_length: int,
    *,
    test_bytes: int,
    train_bytes: int,
    memory: float | None,
    device: torch.device,
) -> Layout:
    """Choose the sizes of the tiles.

    Test samples get at most half of the memory, divided into tiles of equal size. Training tiles
    are no larger than they need to be: for each of them the test gradients are built again, which
    we limit to a share of the work (`REBUILD_SHARE`).

    Parameters
    ----------
    n_test : int
        Test samples in all.
    mean_length : int
        Mean number of tokens of a sample.
    test_bytes, train_bytes : int
        Memory of the gradients of one sample: of the longest test sample, of a mean training
        sample.
    memory : float, optional
        GB for gradients; default: half of the memory that is free.
    device : torch.device
        Where the gradients are.

    Returns
    -------
    Layout
        Samples in a test tile and in a training tile.

    Raises
    ------
    ValueError
        The gradients of one test sample do not fit.
    """
    budget = (memory or free_bytes(device) / GB / 2) * GB
    if budget < test_bytes:
        raise ValueError(
            f"test_memory={budget / GB:.2g} GB: the gradients of one test sample take "
            f"{test_bytes / GB:.2g} GB"
        )
    most = max(1, int(budget / 2 // test_bytes))
    n_tiles = math.ceil(n_test / most)
    test_tile = math.ceil(n_test / n_tiles)
    wanted = max(TRAIN_TILE.get(device.type, 0), _enough_training(mean_length, test_tile))
    possible = int((budget - test_tile * test_bytes) // train_bytes)
    return Layout(test_tile, max(1, min(wanted, possible)))


def _enough_training(length: int, test_tile: int) -> int:
    """Training samples in a tile for which rebuilding the test gradients is little work.

    We count products of the size of a weight matrix. With `length` positions per sample and
    `test_tile` test samples, each training sample takes

    * 3 * length: forward pass, backward pass (to the inputs only), and building its gradient,
    * test_tile: its dot products.

    Building the test gradients takes length * test_tile, once per training tile of n samples. So

        length * test_tile <= REBUILD_SHARE * n * (3 * length + test_tile)

    limits it to that share of the work. We return the smallest n.
    """
    per_training_sample = 3 * length + test_tile
    return math.ceil(length * test_tile / (REBUILD_SHARE * per_training_sample))


def bytes_per_sample(model: PreTrainedModel, plan: Plan, length: int, dtype: torch.dtype) -> int:
    """Return an upper bound of the bytes that a sample's gradients take in a `store.Store`.

    Parameters
    ----------
    model : transformers sequence classifier
        The model.
    plan : Plan
        How it uses its parameters.
    length : int
        The sample's tokens.
    dtype : torch.dtype
        The type in which the gradients are kept.
    """
    tables = {
        id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)
    }
    numbers = 0
    for name, parameter in trainable(model).items():
        if parameter.dim() == 1 or name in plan.by_autograd:
            numbers += parameter.numel()  # in full
        elif name in plan.first_position:
            numbers += sum(parameter.shape)  # the factors of one position
        elif id(parameter) in tables:
            numbers += length * parameter.shape[1]  # one row per token
        else:  # the factors, or in full
            numbers += min(length * sum(parameter.shape), parameter.numel())
    return numbers * torch.finfo(dtype).bits // 8


def free_bytes(device: torch.device) -> int:
    """Return the bytes that this process may use on a device.

    Each of the processes that `batch` runs at once sees all the free memory, and takes its part.
    """
    processes = int(os.environ.get("XL_INFLUENCE_WORKERS", 1))
    if device.type != "cuda":
        return min(psutil.virtual_memory().available, read_granted_bytes()) // processes
    free = torch.cuda.mem_get_info(device)[0]
    reserved = torch.cuda.memory_reserved(device)  # PyTorch keeps what it has freed
    unused = reserved - torch.cuda.memory_allocated(device)
    return free // processes + unused


def read_granted_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that this process's control groups (cgroups) allow, as for a cluster's job.

    Slurm's variables are of no use here: Snakemake's jobs do not pass them on. `root` is the folder
    in which `proc` and `sys` are.
    """
    limits = [sys.maxsize]
    for line in _read_lines(root / "proc/self/cgroup"):
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        top, name = root / "sys/fs/cgroup", "memory.max"
        if kinds == "memory":  # version 1
            top, name = top / "memory", "memory.limit_in_bytes"
        group = top / path.strip("/")
        for level in (group, *group.parents):
            found = _read_lines(level / name) if level.is_relative_to(top) else []
            limits += [int(text) for text in found if text.isdecimal()]
    return min(limits)


def _read_lines(path: Path) -> list[str]:
    """The lines of a file; none if it cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
