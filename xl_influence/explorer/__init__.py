"""The data of the book's explorer: for every test sample the training samples that matter most.

Modules, each importing only those above it:

samples          what the page says of one sample: texts, English text, label, prediction
near_duplicates  which training samples are near-duplicates of a test sample
run_data         a run's scores, ranks and samples, as the other modules take them
lists            for a test sample, the training samples that help and hurt it most
by_train_sample  for a training sample, the test samples that it influences most
contents         all of it: an index, and parts that the page loads when they are needed
"""

from .contents import Described, describe, read_pool, split, write
from .lists import BINS, OF_EACH, STRONGEST

__all__ = ["BINS", "OF_EACH", "STRONGEST", "Described", "describe", "read_pool", "split", "write"]
