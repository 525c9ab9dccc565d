"""The engine's probe on the caller's own samples, and models that it cannot take."""

import numpy as np
import pytest
import torch
import transformers
from conftest import random_samples, tiny
from torch import nn
from torch.nn import functional
from truth import largest_error

from xl_influence.engine import probing
from xl_influence.engine.engine import Engine
from xl_influence.engine.losses import UncoveredError
from xl_influence.engine.probing import choose_probes
from xl_influence.engine.samples import find_longest_input
from xl_influence.tracin import gradient_products, influence

LIMIT = 8  # tokens beyond which the models below behave differently


@pytest.fixture
def samples():
    """Samples of 2 to 20 tokens."""
    return random_samples(12, 1), random_samples(3, 2)


def change_long(model, change, upto=20):
    """Let `change` replace the output of the body for more than `LIMIT` tokens, up to `upto`."""

    def hook(module, args, output):
        if LIMIT < output.last_hidden_state.shape[1] <= upto:
            output.pooler_output = change(output.pooler_output, output.last_hidden_state)
        return output

    model.bert.register_forward_hook(hook)
    return model


def add_mean(pooled, states):
    """Let the answer depend on the padding."""
    return pooled + states.mean(1)


class NoisyGradient(torch.autograd.Function):
    """The identity, with a random gradient."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, grad):
        return grad + torch.randn_like(grad)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pooled, states: pooled + torch.rand_like(pooled), "different outputs for the same"),
        (lambda pooled, states: NoisyGradient.apply(pooled), "different gradients for the same"),
        (lambda pooled, states: pooled * torch.inf, "no finite numbers, .* of 20 tokens"),
        (lambda pooled, states: pooled[:, :5], "a sample of 20 tokens: RuntimeError: mat1 and"),
    ],
    ids=["random output", "random gradient", "infinite", "failing"],
)
def test_what_goes_wrong_only_on_long_samples_is_refused(samples, change, message):
    train, test = samples
    model = change_long(tiny("bert"), change)
    short = [sample for sample in train if len(sample["input_ids"]) <= LIMIT]
    expected = influence(gradient_products(tiny("bert"), short, short)).to_numpy()
    assert np.array_equal(influence(gradient_products(model, short, short)), expected)
    with pytest.raises(UncoveredError, match=f"BertForSequenceClassification .*{message}"):
        gradient_products(model, train, test)


def test_padding_that_matters_only_on_long_samples_is_noticed(samples):
    train, test = samples
    model = change_long(tiny("bert"), add_mean)
    assert not Engine(model).plan.equal_length  # on made-up samples of 5 tokens
    engine = Engine(model)
    engine.check(train, test)
    assert engine.plan.equal_length
    scores = gradient_products(model, train, test, max_tokens=80)
    assert largest_error(scores, model, train, test) <= 1e-5


BETWEEN = 14  # tokens up to which the models below behave differently; the longest sample has 20


def test_padding_that_matters_only_on_lengths_in_between_is_noticed(samples):
    train, test = samples
    model = change_long(tiny("bert"), add_mean, BETWEEN)
    engine = Engine(model)
    engine.check(train, test)
    assert engine.plan.equal_length
    scores = gradient_products(model, train, test, max_tokens=80)
    assert largest_error(scores, model, train, test) <= 1e-5


@pytest.mark.parametrize("first", [lambda pooled, states: pooled, add_mean], ids=["", "and padded"])
def test_an_answer_at_random_only_on_lengths_in_between_is_refused(samples, first):
    """Also where padding is noticed first, so that batches are of equal length."""
    model = change_long(tiny("bert"), first, BETWEEN)
    noisy = lambda pooled, states: pooled + torch.rand_like(pooled)  # noqa: E731
    with pytest.raises(UncoveredError, match=r"different outputs for the same .* 1[0-4] tokens"):
        gradient_products(change_long(model, noisy, BETWEEN), *samples)


def test_a_model_that_fails_only_on_lengths_in_between_is_refused(samples):
    model = change_long(tiny("bert"), lambda pooled, states: pooled[:, :5], BETWEEN)
    with pytest.raises(UncoveredError, match=r"fails on a sample of (9|1[0-4]) tokens: Runtime"):
        gradient_products(model, *samples)


def test_a_usual_model_is_run_on_a_few_lengths_and_its_plan_kept(samples, monkeypatch):
    """What the comparison costs: a few passes, however many samples there are."""
    model, sizes = tiny("bert"), []
    model.register_forward_pre_hook(
        lambda module, args, inputs: sizes.append(len(inputs["input_ids"])), with_kwargs=True
    )
    lengths = [*range(2, 62)] * 20
    many = [{"input_ids": [5 + n % 90] * n, "label": n % 2} for n in lengths]
    passes = {}
    for kind in ("cpu", "none"):
        monkeypatch.setattr(probing, "LENGTHS", {"cpu": 16 if kind == "cpu" else 1, "cuda": 1})
        sizes.clear()
        engine = Engine(model)
        engine.check(many, many[:2])
        passes[kind] = sum(sizes)
        assert not engine.plan.equal_length and not engine.plan.single_sample
    assert passes["cpu"] - passes["none"] == 16 + 2 * 15 - 1


def test_the_lengths_are_spread_evenly():
    many = [{"input_ids": [row] * length} for row, length in enumerate([*range(1, 101)] * 2)]
    (chosen,) = probing.choose_lengths(many[::-1], 8)
    found = [len(sample["input_ids"]) for sample in chosen]
    assert found == [1, 15, 29, 43, 58, 72, 86, 100]
    typed = [sample | {"token_type_ids": sample["input_ids"]} for sample in many[3:5]]
    assert probing.choose_lengths([*many[:3], *typed], 8) == [typed, many[:3]]


def test_a_model_that_is_sure_of_its_answers_goes_in_batches(samples):
    """The gradient of an answer that is all but certain is rounding; it must not decide."""
    train, test = samples
    model = tiny("bert")
    model.classifier.bias.data = torch.tensor([16.0, -16.0])
    sure = [sample | {"label": 0} for sample in train]
    engine = Engine(model)
    engine.check(sure, test)
    assert not engine.plan.single_sample and not engine.plan.equal_length


def test_the_longest_and_the_shortest_sample_are_probed():
    def sample(*ids, **more):
        return {"input_ids": [*ids], "label": 0, **more}

    alone = choose_probes([sample(1), sample(2, 3, 4), sample(5, 6)])
    assert alone == [[sample(2, 3, 4), sample(1), sample(3, 4, 2)]]
    pair = choose_probes([sample(1, 2), sample(3, 4)])
    assert pair == [[sample(3, 4), sample(1, 2), sample(1, 2)]]
    typed = sample(7, 8, token_type_ids=[0, 1])
    turned = sample(8, 7, token_type_ids=[1, 0])
    assert choose_probes([sample(1), typed]) == [[typed, typed, turned], [sample(1)] * 3]


def tiny_of(name, **changes):
    """A tiny classifier of a model that is none of the usual ones."""
    sizes = {"vocab_size": 200, "hidden_size": 32, "d_model": 32}
    sizes |= {} if "block_sizes" in changes else {"num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "n_head": 4, "d_head": 8, "intermediate_size": 64}
    config = transformers.AutoConfig.for_model(name, **(sizes | heads | changes))
    torch.manual_seed(0)
    return transformers.AutoModelForSequenceClassification.from_config(config).eval()


def plain_cosines(model, train, test):
    """What plain autograd gives in float32: some of these models do not run in float64."""

    def gradient(sample):
        logits = model(input_ids=torch.tensor([sample["input_ids"]])).logits
        loss = functional.cross_entropy(logits, torch.tensor([sample["label"]]))
        parameters = [*model.parameters()]
        found = torch.autograd.grad(loss, parameters, allow_unused=True)
        pairs = zip(found, parameters, strict=True)
        parts = [torch.zeros_like(p) if g is None else g for g, p in pairs]
        return torch.cat([part.flatten() for part in parts]).double()

    rows = [functional.normalize(torch.stack([*map(gradient, side)])) for side in (test, train)]
    return (rows[0] @ rows[1].T).numpy()


ODD = {  # name → settings, samples of how many tokens it takes
    "canine": ({"max_position_embeddings": 64, "num_hash_buckets": 50}, 40),
    "funnel": ({"block_sizes": [1, 1], "num_decoder_layers": 1, "d_inner": 64}, 12),
    "mra": ({"max_position_embeddings": 64}, 2),
    "xmod": ({"max_position_embeddings": 66, "languages": ["en_XX"]}, 2),
}


@pytest.mark.parametrize("name", ODD)
def test_unusual_models_are_exact_on_samples_that_they_take(name):
    settings, shortest = ODD[name]
    model = tiny_of(name, **settings)
    if name == "xmod":
        model.set_default_language("en_XX")
    rng = np.random.default_rng(0)
    samples = [
        {"input_ids": rng.integers(5, 200, shortest + i % 3).tolist(), "label": i % 2}
        for i in range(6)
    ]
    found = influence(gradient_products(model, samples, samples[:2])).to_numpy()
    assert np.abs(found - plain_cosines(model, samples, samples[:2])).max() <= 1e-5


REFUSED = {  # name → settings, what the message says
    "reformer": (
        {"axial_pos_embds": False, "attn_layers": ["local", "lsh"], "num_buckets": 2},
        "AssertionError: If you want to train `ReformerModel`.* eval mode is not supported",
    ),
    "canine": (ODD["canine"][0], "of 3 tokens: RuntimeError: .* samples that short or long"),
    "funnel": (
        ODD["funnel"][0] | {"block_sizes": [1, 1, 1]},
        "of 3 tokens: .*Error: .* samples that short or long",
    ),
    "xmod": (ODD["xmod"][0], r"ValueError: Input language unknown.* \(does it need a language\?\)"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_model_that_fails_is_named_with_what_to_do(name):
    settings, message = REFUSED[name]
    model = tiny_of(name, **settings)
    train = [{"input_ids": [5, 6, 7][:size], "label": 0} for size in (3, 3)]
    with pytest.raises(UncoveredError, match=f"{type(model).__name__} fails on .*{message}"):
        gradient_products(model, train, train)


@pytest.mark.parametrize("kind", ["bert", "gpt2", "distilbert", "deberta-v2"])
def test_a_model_that_returns_tuples_is_exact(kind, samples):
    model = tiny(kind)
    model.config.return_dict = False
    found = influence(gradient_products(model, *samples)).to_numpy()
    expected = influence(gradient_products(tiny(kind), *samples)).to_numpy()
    assert np.array_equal(found, expected)
    assert model.config.return_dict is False


def test_a_forward_of_ones_own_that_returns_tuples_is_exact(samples):
    model = tiny("bert")
    forward = model.forward
    expected = influence(gradient_products(model, *samples)).to_numpy()
    model.forward = lambda **inputs: (forward(**inputs).logits,)
    assert np.array_equal(influence(gradient_products(model, *samples)), expected)


def of_bert(kind):
    """Another model with the configuration of the tiny BERT."""
    return kind(tiny("bert").config).eval()


def returning_states(model):
    """Let a model return what a bare encoder returns as a tuple."""
    body = model.bert
    model.forward = lambda **inputs: (body(**inputs).last_hidden_state,)
    return model


class Wrapper(nn.Module):
    """A module of one's own around a classifier."""

    def __init__(self):
        super().__init__()
        self.inner = tiny("bert")


def compiled_in_part():
    model = tiny("bert")
    model.bert = torch.compile(model.bert)
    return model


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: of_bert(transformers.BertModel), "BertModel gives no logits; required is"),
        (
            lambda: returning_states(tiny("bert")),
            r"gives logits of shape \(1, \d+, 32\); required is .* \(1, 2\)",
        ),
        (
            lambda: of_bert(transformers.BertForTokenClassification),
            r"BertForTokenClassification gives logits of shape \(1, \d+, 2\)",
        ),
        (lambda: of_bert(transformers.BertForMaskedLM), "BertForMaskedLM gives logits of shape"),
        (Wrapper, "Wrapper is no sequence classifier of transformers"),
        (lambda: nn.DataParallel(tiny("bert")), r"DataParallel is no .*\.module, perhaps"),
        (compiled_in_part, "bert is compiled by torch.compile.*compile the whole model or nothing"),
    ],
    ids=["no head", "no head, tuples", "tokens", "masked", "wrapper", "parallel", "part compiled"],
)
def test_what_is_no_classifier_is_refused(make, message, samples):
    with pytest.raises((UncoveredError, ValueError), match=message):
        gradient_products(make(), *samples)


class Prompt:
    """What `peft` says about a prompt of three virtual tokens."""

    is_prompt_learning, num_virtual_tokens = True, 3


def test_virtual_tokens_take_places_of_the_longest_input():
    model = tiny("bert")
    assert find_longest_input(model) == 64
    model.active_peft_config = Prompt()
    assert find_longest_input(model) == 61
    model.active_peft_config.is_prompt_learning = False  # as an adapter's
    assert find_longest_input(model) == 64


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_prompts_of_peft_are_exact_up_to_the_longest_input(kind, samples):
    peft = pytest.importorskip("peft", reason="peft is not installed")
    config = getattr(peft, kind)(task_type="SEQ_CLS", num_virtual_tokens=3)
    model = peft.get_peft_model(tiny("bert"), config).eval()
    train = [*samples[0], {"input_ids": [5] * 61, "label": 0}]
    scores = gradient_products(model, train, samples[1])
    assert largest_error(scores, model, train, samples[1]) <= 1e-5
    with pytest.raises(ValueError, match=r"has 62 tokens .* 1 to 61 tokens"):
        gradient_products(model, [{"input_ids": [5] * 62, "label": 0}], train)
