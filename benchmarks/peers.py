"""The same cosines from attribution libraries ("peers") and from two plain references, behind one signature.

`PEERS[name].run(model, train, test)` gives a numpy array (test, train) of cosines of per-sample loss gradients, over the
parameters that `PEERS[name].covered(model)` names. `model`: a BERT or XLM-R sequence classifier in eval mode, all of it
trainable; its weights stay as they are. `train`, `test`: lists of {"input_ids", "label"}, all of one length. Every peer
keeps all test gradients in memory and runs with the options that are fastest for it while exact; libraries are imported
when they run. TQDM_DISABLE=1 in the environment silences their progress bars.

`python benchmarks/peers.py` compares them all with float64 autograd on tiny models.
"""

import contextlib
import copy
import importlib.metadata
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

from xl_influence.engine.arithmetic import arithmetic

TOKENS = {"cpu": 2048, "cuda": 8192}  # in a batch, for peers that take batches
BLOCK = 2**14  # parameters in one float32 sum: over all of a large model it loses digits


@dataclass(frozen=True)
class Peer:
    """A way to compute the cosines."""

    name: str
    package: str
    covers: str
    passes: Callable  # (n_train, n_test) -> backward passes, counted in samples
    run: Callable  # (model, train, test) -> array (test, train)
    covered: Callable  # model -> names of the parameters that enter the cosine

    @property
    def version(self):
        return importlib.metadata.version(self.package)


def tensors(samples, model):
    """`input_ids`, `attention_mask` and labels of samples of one length."""
    ids = torch.tensor([sample["input_ids"] for sample in samples], device=model.device)
    return (
        ids,
        torch.ones_like(ids),
        torch.tensor([sample["label"] for sample in samples], device=model.device),
    )


def loss_sum(model, batch):
    """Summed cross-entropy of a batch: each sample's gradient is that of its own loss."""
    ids, mask, labels = batch
    return F.cross_entropy(
        model(input_ids=ids, attention_mask=mask).logits, labels, reduction="sum"
    )


def batch_size(samples, model, share=1):
    return max(1, TOKENS[model.device.type] // share // len(samples[0]["input_ids"]))


def divided(dots, test_norms, train_norms):
    """Cosines of dot products (test, train) and norms, as numpy."""
    return (dots / (test_norms[:, None] * train_norms[None])).cpu().numpy()


def norms(vectors):
    return sum(block.square().sum(1).double() for block in vectors.split(BLOCK, 1)).sqrt()


def streamed(test, train, n_test):
    """Cosines of flat gradients that come in batches: of test samples kept as one dense matrix, of training samples used
    once. Sums are float64 across blocks of parameters."""
    rows, filled, dots, train_norms = None, 0, [], []
    for vectors in test:
        rows = vectors.new_empty(n_test, vectors.shape[1]) if rows is None else rows
        rows[filled : filled + len(vectors)] = vectors
        filled += len(vectors)
    for vectors in train:
        blocks = zip(rows.split(BLOCK, 1), vectors.split(BLOCK, 1), strict=True)
        dots.append(sum((a @ b.T).double() for a, b in blocks))
        train_norms.append(norms(vectors))
    return divided(torch.cat(dots, 1), norms(rows), torch.cat(train_norms))


@contextlib.contextmanager
def only_embeddings(model):
    """Freeze all but the word embeddings, through which gradients flow to every layer: for peers that need activations
    and output gradients alone."""
    try:
        model.requires_grad_(False)
        model.get_input_embeddings().requires_grad_(True)
        yield
    finally:
        model.requires_grad_(True)
        model.zero_grad()


def everything(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def linear(model):
    """Weights and biases of Linear layers."""
    layers = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    return [name for name in everything(model) if name.rpartition(".")[0] in layers]


def encoder_linear(model):
    return [name for name in linear(model) if ".encoder." in name]


def gradient(model, sample):
    """Gradient (1, parameters) of one sample's loss."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    parts = torch.autograd.grad(loss_sum(model, tensors([sample], model)), parameters)
    return torch.cat([part.flatten() for part in parts])[None]


def pairs(model, train, test):
    """The paper's way: both gradients anew for every pair."""
    values = [
        [streamed([gradient(model, a)], [gradient(model, b)], 1).item() for b in train]
        for a in test
    ]
    return np.array(values)


def loop(model, train, test):
    """One backward pass for each sample, and one matrix-vector product for each training sample."""
    return streamed(
        (gradient(model, s) for s in test), (gradient(model, s) for s in train), len(test)
    )


class Logits(torch.nn.Module):
    """A classifier as captum calls it: positional tensors in, logits out."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask).logits


def captum(model, train, test, size=1, reduction="none"):
    """One sample per batch: of a larger one captum passes the whole backward for each of its samples.

    `influence` gives no norms, and `self_influence` passes every sample again; these vectors, whose dot product is the
    influence by captum's documentation, give both in one pass.
    """
    from captum.influence import TracInCP

    def vectors(samples):
        loader = DataLoader(TensorDataset(*tensors(samples, model)), batch_size=size)
        loss, batched = torch.nn.CrossEntropyLoss(reduction=reduction), reduction == "sum"
        tracin = TracInCP(
            Logits(model),
            loader,
            ["now"],
            lambda *_: 1.0,
            None,
            loss,
            sample_wise_grads_per_batch=batched,
        )
        return (tracin.compute_intermediate_quantities(tuple(batch)) for batch in loader)

    return streamed(vectors(test), vectors(train), len(test))


def captum_linear(model, train, test):
    """Whole batches, which captum does for Linear only: all else drops out silently."""
    try:
        with only_embeddings(model), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # integer inputs have no gradient
            return captum(
                model, train, test, batch_size(train, model, 4), "sum"
            )  # keeps a batch's gradients
    finally:
        for parameter in model.parameters():
            parameter.__dict__.pop("sample_grad", None)


def kronfluence(model, train, test):
    """No preconditioning; all test samples in one batch, so that training samples are passed once for dot products.

    The norms are self-influences, for which it passes every sample again.
    """
    from kronfluence.analyzer import Analyzer, prepare_model
    from kronfluence.arguments import FactorArguments
    from kronfluence.task import Task

    class Loss(Task):
        def compute_measurement(self, batch, model, sample=False):
            return loss_sum(model, batch)

        compute_train_loss = compute_measurement

    wrapped = prepare_model(copy.deepcopy(model), Loss())  # replaces modules: of a copy
    queries, rows = (TensorDataset(*tensors(samples, model)) for samples in (test, train))
    with tempfile.TemporaryDirectory() as folder:
        cpu = model.device.type == "cpu"
        analyzer = Analyzer("peer", wrapped, Loss(), cpu=cpu, disable_tqdm=True, output_dir=folder)
        analyzer.fit_all_factors("none", rows, factor_args=FactorArguments(strategy="identity"))
        analyzer.compute_pairwise_scores(
            "dots", "none", queries, rows, len(test), batch_size(train, model)
        )
        analyzer.compute_self_scores(
            "squares", "none", ConcatDataset([queries, rows]), batch_size(train, model)
        )
        dots, squares = analyzer.load_pairwise_scores("dots"), analyzer.load_self_scores("squares")
    lengths = squares["all_modules"].sqrt()
    return divided(dots["all_modules"], lengths[: len(test)], lengths[len(test) :])


def dattri(model, train, test):
    """Test samples take the place of training samples: dattri keeps the gradients of an outer batch and computes those of
    all inner ones anew for each, so with all test samples in one outer batch it passes every sample once.

    It is given all parameters as one: it slices them of a vector, whose gradient takes a pass over the whole for each.
    """
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask

    parameters = dict(model.named_parameters())
    whole = torch.nn.ParameterDict(
        {"all": torch.cat([parameter.detach().flatten() for parameter in parameters.values()])}
    )

    def loss(flat, sample):
        parts = flat["all"].split([parameter.numel() for parameter in parameters.values()])
        values = {
            name: part.view_as(parameters[name])
            for name, part in zip(parameters, parts, strict=True)
        }
        ids, mask, label = (value[None] for value in sample)
        inputs = {
            "input_ids": ids,
            "attention_mask": mask[:, None, None].bool(),
        }  # as attention takes it: vmap cannot ask
        return F.cross_entropy(torch.func.functional_call(model, values, (), inputs).logits, label)

    task = AttributionTask(loss, whole, [None], checkpoints_load_func=lambda model, _: model)
    attributor = TracInAttributor(task, torch.ones(1), normalized_grad=True, device=model.device)
    attributor.projector_kwargs = None  # no argument switches the projection to 512 dimensions off
    outer = DataLoader(TensorDataset(*tensors(test, model)), batch_size=len(test))
    inner = DataLoader(
        TensorDataset(*tensors(train, model)), batch_size=4
    )  # larger ones are slower
    with (
        torch.no_grad(),
        torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH),
    ):  # which vmap can batch
        return attributor.attribute(outer, inner).numpy()


def dattri_llm(model, train, test):
    """Per-sample gradients of all layers from activations and output gradients; Linear computes no weight gradients."""
    from dattri_llm.attribution import AttributionArguments, TracInAttributor
    from dattri_llm.gradient.hooks import HookManagerConfig
    from dattri_llm.task import AttributionTask
    from dattri_llm.utils.hashing import hash_batch

    def inputs(samples):
        rows = (tensor.cpu() for tensor in tensors(samples, model))  # it pins them itself
        values = dict(zip(("input_ids", "attention_mask", "labels"), rows, strict=True))
        if (
            model.config.model_type == "bert"
        ):  # its own positions are of no sample, and so would be their gradients
            ids = values["input_ids"]
            values["position_ids"] = torch.arange(ids.shape[1]).expand_as(ids)
        return [{key: value[row] for key, value in values.items()} for row in range(len(samples))]

    # where the test gradients of embeddings fit its cache, a training batch's are dense as well
    size, table = batch_size(train, model), model.get_input_embeddings().weight.numel() * 4
    free = (
        psutil.virtual_memory().available
        if model.device.type == "cpu"
        else torch.cuda.mem_get_info()[0]
    )
    if len(test) * table < 0.35 * free:  # its rule
        size = max(1, min(size, int(0.1 * free // table)))
    kinds = {
        torch.nn.Linear: "invasive_linear_io",
        torch.nn.LayerNorm: "linear_io",
        torch.nn.Embedding: "linear_io",
    }
    hooks = {
        name: kinds[type(module)] for name, module in model.named_modules() if type(module) in kinds
    }
    with tempfile.TemporaryDirectory() as folder:
        task = AttributionTask(
            lambda model, batch: model(**batch).loss * len(batch["labels"]), model
        )
        options = AttributionArguments(folder, size, len(test), use_cpu=model.device.type == "cpu")
        score = TracInAttributor(options, task=task).attribute(
            inputs(train), inputs(test), hook_config=HookManagerConfig(hooks), normalized_grad=True
        )
    # columns go by the hash of a sample's inputs: equal samples share one
    names = [
        hash_batch({key: value[None] for key, value in row.items()}, 1)[0] for row in inputs(test)
    ]
    return score.scores[:, [score.test_index[name] for name in names]].T.numpy()


def bergson(model, train, test):
    """Its collector and scorer in memory, without its loops: those take the loss of causal language models only."""
    from bergson import GradientProcessor, IndexConfig, InMemoryCollector, PreprocessConfig, Scorer
    from bergson.score.score_writer import InMemorySequenceScoreWriter
    from datasets import Dataset

    def collect(samples, size, **options):
        collector = InMemoryCollector(
            model=model.base_model,
            data=Dataset.from_dict({"row": range(len(samples))}),
            cfg=IndexConfig(run_path="unused"),
            processor=GradientProcessor(projection_dim=None, include_bias=True),
            filter_modules="pooler.*",  # it takes sequences only, so neither this nor the head
            **options,
        )
        for start in range(0, len(samples), size):
            rows = list(range(start, min(start + size, len(samples))))
            with collector.with_batch():
                loss = loss_sum(model, tensors([samples[row] for row in rows], model))
                loss.backward()
            collector.process_batch(rows, losses=loss.expand(len(rows)))
            model.zero_grad()
        collector.teardown()
        return collector

    with only_embeddings(model):
        unit = PreprocessConfig(unit_normalize=True)
        queries = collect(
            test, batch_size(test, model, 4), preprocess_cfg=unit
        ).gradients  # keeps a batch's
        writer = InMemorySequenceScoreWriter(len(train), len(test))
        scorer = Scorer(
            queries, list(queries), writer, model.device, model.dtype, unit_normalize=True
        )
        return collect(train, batch_size(train, model), scorer=scorer).scores.T.numpy()


def with_our_products(run):
    """The peer with matrix products and attention computed as our engine has them: what is left is the method."""

    def faster(model, train, test):
        with arithmetic(model.device):
            return run(model, train, test)

    return faster


def once(n_train, n_test):
    return n_train + n_test


ALL, LINEAR = "all parameters", "Linear only"
PEERS = {
    "pairs": Peer(
        "every pair anew",
        "torch",
        ALL,
        lambda n_train, n_test: 2 * n_train * n_test,
        pairs,
        everything,
    ),
    "loop": Peer("plain loop", "torch", ALL, once, loop, everything),
    "captum": Peer("captum TracInCP", "captum", ALL, once, captum, everything),
    "captum-linear": Peer(
        "captum TracInCP, batched", "captum", LINEAR, once, captum_linear, linear
    ),
    "kronfluence": Peer(
        "kronfluence", "kronfluence", LINEAR, lambda *samples: 2 * sum(samples), kronfluence, linear
    ),
    "dattri": Peer("dattri TracIn", "dattri", ALL, once, dattri, everything),
    "dattri-llm": Peer("dattri-llm TracIn", "dattri-llm", ALL, once, dattri_llm, everything),
    "dattri-llm-fast": Peer(
        "dattri-llm TracIn, our products",
        "dattri-llm",
        ALL,
        once,
        with_our_products(dattri_llm),
        everything,
    ),
    "bergson": Peer(
        "bergson", "bergson", "Linear of the encoder only", once, bergson, encoder_linear
    ),
}


def tiny(family, n_train=6, n_test=4, length=12):
    """A tiny classifier with random weights, and its samples."""
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
    draw, total = np.random.default_rng(0), n_train + n_test
    ids, labels = (
        draw.integers(5, 100, (total, length)).tolist(),
        draw.integers(0, 3, total).tolist(),
    )
    samples = [{"input_ids": row, "label": label} for row, label in zip(ids, labels, strict=True)]
    return (
        AutoModelForSequenceClassification.from_config(config).eval(),
        samples[:n_train],
        samples[n_train:],
    )


def exact(model, train, test, names):
    """Cosines over the parameters `names`, by autograd in float64."""
    double = copy.deepcopy(model).double()
    for name, parameter in double.named_parameters():
        parameter.requires_grad_(name in names)
    return loop(double, train, test)


def main():
    print(
        f"{'largest error':16}{'version':>12}{'passes':>8}{'parameters':>13}{'bert':>10}{'xlm-r':>10}{'seconds':>9}"
    )
    cases = [tiny("bert"), tiny("xlm-roberta")]
    for key, peer in PEERS.items():
        start = time.perf_counter()
        errors = [
            np.abs(peer.run(*case) - exact(*case, peer.covered(case[0]))).max() for case in cases
        ]
        seconds, (model, train, test) = time.perf_counter() - start, cases[0]
        share = f"{len(peer.covered(model))} of {len(everything(model))}"
        print(
            f"{key:16}{peer.version:>12}{peer.passes(len(train), len(test)):>8}{share:>13}", end=""
        )
        print(f"{errors[0]:>10.1e}{errors[1]:>10.1e}{seconds:>9.2f}")


if __name__ == "__main__":
    main()
