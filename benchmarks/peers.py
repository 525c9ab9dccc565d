"""The same cosines from attribution libraries ("peers") and from two plain references.

`PEERS[method].run(model, train, test)` returns a numpy array (test, train): cosines of the
per-sample loss gradients over the parameters that `PEERS[method].covered(model)` names. `model` is
a BERT or XLM-R sequence classifier in eval mode with all parameters trainable; its weights do not
change.
`train` and `test` are lists of {"input_ids", "label"}, all of one length. Every peer keeps all test
gradients in memory, and gets the options with which it is fastest while exact. Libraries are
imported when they run; TQDM_DISABLE=1 in the environment silences their progress bars.

`python benchmarks/peers.py` compares them all with float64 autograd on tiny models.
"""

import contextlib
import copy
import importlib.metadata
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from common import METHODS
from torch.nn.functional import cross_entropy
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from xl_influence.engine.arithmetic import arithmetic
from xl_influence.speed import count_passes

Model = torch.nn.Module
Sample = dict[str, Any]  # `input_ids`: list of int, `label`: int
Run = Callable[
    [Model, list[Sample], list[Sample]], np.ndarray
]  # model, train, test → (test, train)

TOKENS = {"cpu": 2048, "cuda": 8192}  # in a batch, for peers that take batches
BLOCK = 2**14  # parameters in one float32 sum, which loses digits over all of a large model


@dataclass(frozen=True)
class Peer:
    """A peer or reference.

    Parameters
    ----------
    package
        The library's name on PyPI.
    run
        Computes the cosines, see the module's docstring.
    covered
        The names of the parameters that enter the cosines, given the model.
    """

    package: str
    run: Run
    covered: Callable[[Model], list[str]]

    @property
    def version(self) -> str:
        """The installed version of the library."""
        return importlib.metadata.version(self.package)


# Samples and losses ------------------------------------------------------------------------------


def make_tensors(samples: list[Sample], model: Model) -> tuple[torch.Tensor, ...]:
    """Samples of one length on the model's device: `input_ids`, `attention_mask`, labels."""
    ids = torch.tensor([sample["input_ids"] for sample in samples], device=model.device)
    labels = torch.tensor([sample["label"] for sample in samples], device=model.device)
    return ids, torch.ones_like(ids), labels  # (samples, tokens) twice, (samples)


def sum_losses(model: Model, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The summed cross-entropy of a batch: each sample's gradient is that of its own loss."""
    ids, mask, labels = batch
    logits = model(input_ids=ids, attention_mask=mask).logits  # (samples, classes)
    return cross_entropy(logits, labels, reduction="sum")


def batch_size(samples: list[Sample], model: Model, share: int = 1) -> int:
    """Samples in a batch of `TOKENS` tokens, or of one part in `share` of them."""
    return max(1, TOKENS[model.device.type] // share // len(samples[0]["input_ids"]))


# From gradients to cosines -----------------------------------------------------------------------


def divide(dots: torch.Tensor, test_norms: torch.Tensor, train_norms: torch.Tensor) -> np.ndarray:
    """Cosines (test, train) from dot products (test, train) and norms (test), (train)."""
    return (dots / (test_norms[:, None] * train_norms[None])).cpu().numpy()


def find_norms(vectors: torch.Tensor) -> torch.Tensor:
    """The norms (samples) of gradients (samples, parameters), summed across blocks in float64."""
    return sum(block.square().sum(1).double() for block in vectors.split(BLOCK, 1)).sqrt()


def stream_cosines(
    test: Iterable[torch.Tensor], train: Iterable[torch.Tensor], n_test: int
) -> np.ndarray:
    """Cosines (test, train) of flat gradients that come batch by batch, (samples, parameters).

    Test gradients are kept as one dense matrix, training gradients are used once and dropped.
    Sums across blocks of parameters are float64.

    Parameters
    ----------
    test, train
        Batches of gradients, in the order of the samples.
    n_test
        Test samples in all batches together.
    """
    rows, filled = None, 0
    for vectors in test:
        if rows is None:
            rows = vectors.new_empty(n_test, vectors.shape[1])  # (test, parameters)
        rows[filled : filled + len(vectors)] = vectors
        filled += len(vectors)
    dots, train_norms = [], []
    for vectors in train:
        blocks = zip(rows.split(BLOCK, 1), vectors.split(BLOCK, 1), strict=True)
        dots.append(sum((a @ b.T).double() for a, b in blocks))  # (test, batch)
        train_norms.append(find_norms(vectors))
    return divide(torch.cat(dots, 1), find_norms(rows), torch.cat(train_norms))


# Which parameters --------------------------------------------------------------------------------


def all_names(model: Model) -> list[str]:
    """All trainable parameters."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def linear_names(model: Model) -> list[str]:
    """Weights and biases of Linear layers."""
    layers = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return [name for name in all_names(model) if name.rpartition(".")[0] in layers]


def encoder_linear_names(model: Model) -> list[str]:
    """Weights and biases of the encoder's Linear layers, without pooler and head."""
    return [name for name in linear_names(model) if ".encoder." in name]


@contextlib.contextmanager
def only_embeddings_trainable(model: Model) -> Iterator[None]:
    """Freeze all but the word embeddings, through which gradients reach every layer.

    For peers that need only activations and output gradients.
    """
    try:
        model.requires_grad_(False)
        model.get_input_embeddings().requires_grad_(True)
        yield
    finally:
        model.requires_grad_(True)
        model.zero_grad()


# The references ----------------------------------------------------------------------------------


def find_gradient(model: Model, sample: Sample) -> torch.Tensor:
    """The gradient (1, parameters) of one sample's loss."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = torch.autograd.grad(sum_losses(model, make_tensors([sample], model)), parameters)
    return torch.cat([part.flatten() for part in parts])[None]


def run_pairs(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """The paper's method: both gradients are computed again for every pair."""

    def cosine(test_sample: Sample, train_sample: Sample) -> float:
        test_gradient = find_gradient(model, test_sample)
        return stream_cosines([test_gradient], [find_gradient(model, train_sample)], 1).item()

    return np.array([[cosine(a, b) for b in train] for a in test])


def run_loop(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """One backward pass per sample, and one matrix-vector product per training sample."""
    test_gradients = (find_gradient(model, sample) for sample in test)
    train_gradients = (find_gradient(model, sample) for sample in train)
    return stream_cosines(test_gradients, train_gradients, len(test))


def run_exact(
    model: Model, train: list[Sample], test: list[Sample], names: list[str]
) -> np.ndarray:
    """Cosines (test, train) by autograd in float64.

    Parameters
    ----------
    model, train, test
        As in the module's docstring.
    names
        The parameters over which the cosines are taken.
    """
    double = copy.deepcopy(model).double()
    for name, parameter in double.named_parameters():
        parameter.requires_grad_(name in names)
    return run_loop(double, train, test)


# The libraries -----------------------------------------------------------------------------------


class Logits(torch.nn.Module):
    """A classifier as captum calls it: positional tensors in, logits out."""

    def __init__(self, model: Model) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The logits (samples, classes)."""
        return self.model(input_ids=ids, attention_mask=mask).logits


def run_captum(
    model: Model,
    train: list[Sample],
    test: list[Sample],
    size: int = 1,
    reduction: str = "none",
) -> np.ndarray:
    """One sample per batch: captum passes a larger batch backward once for each of its samples.

    `influence` returns no norms, and `self_influence` passes every sample again. The intermediate
    quantities give both in one pass: captum documents that their dot product is the influence.

    Parameters
    ----------
    model, train, test
        As in the module's docstring.
    size
        Samples per batch.
    reduction
        Of the loss: 'none', or 'sum' to take the gradients of a whole batch at once.
    """
    from captum.influence import TracInCP

    def vectors(samples: list[Sample]) -> Iterator[torch.Tensor]:
        loader = DataLoader(TensorDataset(*make_tensors(samples, model)), batch_size=size)
        tracin = TracInCP(
            Logits(model),
            loader,
            ["now"],
            lambda *_: 1.0,
            None,
            torch.nn.CrossEntropyLoss(reduction=reduction),
            sample_wise_grads_per_batch=reduction == "sum",
        )
        return (tracin.compute_intermediate_quantities(tuple(batch)) for batch in loader)

    return stream_cosines(vectors(test), vectors(train), len(test))


def run_captum_linear(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """Whole batches, which captum supports only for Linear; it silently drops all other layers."""
    size = batch_size(train, model, share=4)  # it keeps the gradients of a batch
    try:
        with only_embeddings_trainable(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # integer inputs have no gradient
            return run_captum(model, train, test, size, reduction="sum")
    finally:
        for parameter in model.parameters():
            parameter.__dict__.pop("sample_grad", None)


def run_kronfluence(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """No preconditioning; all test samples in one batch, so training samples are passed only once.

    That gives the dot products. The norms are self-influences, for which kronfluence passes every
    sample again.
    """
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.task import Task

    class Loss(Task):
        def compute_measurement(self, batch: Any, model: Model, sample: bool = False) -> Any:
            return sum_losses(model, batch)

        compute_train_loss = compute_measurement

    wrapped = prepare_model(copy.deepcopy(model), Loss())  # a copy: it replaces modules
    queries = TensorDataset(*make_tensors(test, model))
    rows = TensorDataset(*make_tensors(train, model))
    size, cpu = batch_size(train, model), model.device.type == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer("peer", wrapped, Loss(), cpu=cpu, disable_tqdm=True, output_dir=folder)
        analyzer.fit_all_factors("none", rows, factor_args=FactorArguments(strategy="identity"))
        analyzer.compute_pairwise_scores("dots", "none", queries, rows, len(test), size)
        analyzer.compute_self_scores("squares", "none", ConcatDataset([queries, rows]), size)
        dots = analyzer.load_pairwise_scores("dots")["all_modules"]  # (test, train)
        squares = analyzer.load_self_scores("squares")["all_modules"]  # (test + train)
    lengths = squares.sqrt()
    return divide(dots, lengths[: len(test)], lengths[len(test) :])


def run_dattri(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """Test and training samples swap roles, so that dattri passes every sample only once.

    dattri keeps the gradients of an outer batch, and for each outer batch computes those of all
    inner ones again. With all test samples in one outer batch, it does so only once.

    It gets all parameters as one vector. It slices them out of a vector in any case, and the
    gradient of each slice takes a pass over the whole vector.
    """
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask

    parameters = dict(model.named_parameters())
    sizes = [parameter.numel() for parameter in parameters.values()]
    flat = torch.cat([parameter.detach().flatten() for parameter in parameters.values()])
    whole = torch.nn.ParameterDict({"all": flat})

    def loss(vector: dict[str, torch.Tensor], sample: tuple[torch.Tensor, ...]) -> torch.Tensor:
        parts = zip(parameters, vector["all"].split(sizes), strict=True)
        values = {name: part.view_as(parameters[name]) for name, part in parts}
        ids, mask, label = (value[None] for value in sample)
        mask = mask[:, None, None].bool()  # attention's own form: under vmap it cannot convert it
        inputs = {"input_ids": ids, "attention_mask": mask}
        return cross_entropy(torch.func.functional_call(model, values, (), inputs).logits, label)

    task = AttributionTask(loss, whole, [None], checkpoints_load_func=lambda model, _: model)
    attributor = TracInAttributor(task, torch.ones(1), normalized_grad=True, device=model.device)
    attributor.projector_kwargs = None  # no argument turns off the projection to 512 dimensions
    outer = DataLoader(TensorDataset(*make_tensors(test, model)), batch_size=len(test))
    inner = DataLoader(TensorDataset(*make_tensors(train, model)), batch_size=4)  # larger is slower
    plain_attention = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with torch.no_grad(), plain_attention:  # the one kind of attention that vmap can batch
        return attributor.attribute(outer, inner).numpy()


def run_dattri_llm(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """Per-sample gradients of all layers from activations and output gradients.

    Linear layers compute no weight gradients in the backward pass.
    """
    from dattri_llm.attribution import AttributionArguments, TracInAttributor
    from dattri_llm.gradient.hooks import HookManagerConfig
    from dattri_llm.task import AttributionTask
    from dattri_llm.utils.hashing import hash_batch

    kinds = {
        torch.nn.Linear: "invasive_linear_io",
        torch.nn.LayerNorm: "linear_io",
        torch.nn.Embedding: "linear_io",
    }
    hooks = {
        name: kinds[type(module)] for name, module in model.named_modules() if type(module) in kinds
    }
    size, cpu = _dattri_llm_batch(model, train, len(test)), model.device.type == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        task = AttributionTask(
            lambda model, batch: model(**batch).loss * len(batch["labels"]), model
        )
        options = AttributionArguments(folder, size, len(test), use_cpu=cpu)
        score = TracInAttributor(options, task=task).attribute(
            _dattri_llm_inputs(model, train),
            _dattri_llm_inputs(model, test),
            hook_config=HookManagerConfig(hooks),
            normalized_grad=True,
        )
    # Its columns are sorted by a hash of each sample's inputs; equal samples share one column.
    hashes = [
        hash_batch({key: value[None] for key, value in row.items()}, 1)[0]
        for row in _dattri_llm_inputs(model, test)
    ]
    return score.scores[:, [score.test_index[name] for name in hashes]].T.numpy()


def _dattri_llm_inputs(model: Model, samples: list[Sample]) -> list[dict[str, torch.Tensor]]:
    """Samples as dattri-llm takes them, on the CPU: it pins them by itself."""
    ids, mask, labels = (tensor.cpu() for tensor in make_tensors(samples, model))
    values = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    if model.config.model_type == "bert":
        # BERT's own positions belong to no sample, so their gradients would be lost.
        values["position_ids"] = torch.arange(ids.shape[1]).expand_as(ids)
    return [{key: value[row] for key, value in values.items()} for row in range(len(samples))]


def _dattri_llm_batch(model: Model, train: list[Sample], n_test: int) -> int:
    """Training samples in a batch for dattri-llm.

    If the embeddings' test gradients fit into its cache, a training batch's are dense as well.
    """
    size = batch_size(train, model)
    table = model.get_input_embeddings().weight.numel() * 4  # bytes
    if model.device.type == "cpu":
        free = psutil.virtual_memory().available
    else:
        free = torch.cuda.mem_get_info()[0]
    if n_test * table < 0.35 * free:  # its rule
        return max(1, min(size, int(0.1 * free // table)))
    return size


def run_bergson(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
    """Its collector and scorer in memory, without its loops: those accept only causal losses."""
    from bergson import GradientProcessor, IndexConfig, InMemoryCollector, PreprocessConfig, Scorer
    from bergson.score.score_writer import InMemorySequenceScoreWriter
    from datasets import Dataset

    def collect(samples: list[Sample], size: int, **options: Any) -> Any:
        collector = InMemoryCollector(
            model=model.base_model,
            data=Dataset.from_dict({"row": range(len(samples))}),
            cfg=IndexConfig(run_path="unused"),
            processor=GradientProcessor(projection_dim=None, include_bias=True),
            filter_modules="pooler.*",  # it accepts only sequences: neither this nor the head
            **options,
        )
        for start in range(0, len(samples), size):
            rows = list(range(start, min(start + size, len(samples))))
            with collector.with_batch():
                loss = sum_losses(model, make_tensors([samples[row] for row in rows], model))
                loss.backward()
            collector.process_batch(rows, losses=loss.expand(len(rows)))
            model.zero_grad()
        collector.teardown()
        return collector

    with only_embeddings_trainable(model):
        unit = PreprocessConfig(unit_normalize=True)
        size = batch_size(test, model, share=4)  # it keeps the gradients of a batch
        queries = collect(test, size, preprocess_cfg=unit).gradients
        writer = InMemorySequenceScoreWriter(len(train), len(test))
        scorer = Scorer(
            queries, list(queries), writer, model.device, model.dtype, unit_normalize=True
        )
        return collect(train, batch_size(train, model), scorer=scorer).scores.T.numpy()


def with_engine_arithmetic(run: Run) -> Run:
    """The peer with matrix products and attention as the engine computes them.

    What remains of the difference in speed is then due to the method.
    """

    def run_faster(model: Model, train: list[Sample], test: list[Sample]) -> np.ndarray:
        with arithmetic(model.device):
            return run(model, train, test)

    return run_faster


PEERS = {
    "pairs": Peer("torch", run_pairs, all_names),
    "loop": Peer("torch", run_loop, all_names),
    "captum": Peer("captum", run_captum, all_names),
    "captum-linear": Peer("captum", run_captum_linear, linear_names),
    "kronfluence": Peer("kronfluence", run_kronfluence, linear_names),
    "dattri": Peer("dattri", run_dattri, all_names),
    "dattri-llm": Peer("dattri-llm", run_dattri_llm, all_names),
    "dattri-llm-fast": Peer("dattri-llm", with_engine_arithmetic(run_dattri_llm), all_names),
    "bergson": Peer("bergson", run_bergson, encoder_linear_names),
}


# A check on tiny models --------------------------------------------------------------------------


def make_tiny_case(
    family: str, n_train: int = 6, n_test: int = 4, length: int = 12
) -> tuple[Model, list[Sample], list[Sample]]:
    """A tiny classifier with random weights, its training samples and its test samples.

    Parameters
    ----------
    family
        'bert' or 'xlm-roberta'.
    n_train, n_test
        Samples to draw.
    length
        Tokens in each.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
    }
    pad = {"bert": 0, "xlm-roberta": 1}[family]
    config = AutoConfig.for_model(family, vocab_size=100, num_labels=3, pad_token_id=pad, **sizes)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    random, total = np.random.default_rng(0), n_train + n_test
    ids = random.integers(5, 100, (total, length)).tolist()
    labels = random.integers(0, 3, total).tolist()
    samples = [{"input_ids": row, "label": label} for row, label in zip(ids, labels, strict=True)]
    return model, samples[:n_train], samples[n_train:]


def main() -> None:
    """Print the largest error of every peer on a tiny BERT and a tiny XLM-R."""
    heads = f"{'version':>12}{'passes':>8}{'parameters':>13}{'bert':>10}{'xlm-r':>10}{'seconds':>9}"
    print(f"{'largest error':16}{heads}")
    cases = [make_tiny_case("bert"), make_tiny_case("xlm-roberta")]
    for method, peer in PEERS.items():
        start = time.perf_counter()
        bert, xlmr = (
            np.abs(peer.run(*case) - run_exact(*case, peer.covered(case[0]))).max()
            for case in cases
        )
        seconds = time.perf_counter() - start
        model, train, test = cases[0]
        passes = count_passes(METHODS[method], len(train), len(test))
        share = f"{len(peer.covered(model))} of {len(all_names(model))}"
        print(f"{method:16}{peer.version:>12}{passes:>8}{share:>13}", end="")
        print(f"{bert:>10.1e}{xlmr:>10.1e}{seconds:>9.2f}")


if __name__ == "__main__":
    main()
