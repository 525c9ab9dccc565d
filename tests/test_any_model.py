"""The engine on models and samples as people bring them: exact, or refused with a reason."""

import copy

import numpy as np
import pytest
import torch
import transformers
from conftest import random_samples, tiny
from torch import nn
from truth import cosines, largest_error, plain

from xl_influence.engine import rules
from xl_influence.engine.engine import Engine
from xl_influence.engine.losses import UncoveredError
from xl_influence.tracin import gradient_products, influence

SIZES = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = SIZES | {"intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}
MODELS = {  # name → (class, config, parameters, in batches?)
    "llama": ("Llama", LLAMA, True),  # RMSNorm
    "gemma": ("Gemma", LLAMA, True),  # RMSNorm that adds 1, scaled embeddings
    "qwen3": ("Qwen3", LLAMA, True),  # RMSNorm of every head
    "mixtral": ("Mixtral", LLAMA | {"num_local_experts": 4}, False),  # routed experts
    "fnet": ("FNet", SIZES | {"intermediate_size": 64}, True),  # its answer depends on padding
    "opt": ("OPT", SIZES | {"ffn_dim": 64, "word_embed_proj_dim": 32}, True),  # shifted positions
    "bloom": ("Bloom", SIZES | {"n_layer": 2, "n_head": 4}, True),
    "roformer": ("RoFormer", SIZES | {"intermediate_size": 64}, True),
    "t5": (
        "T5",
        {"vocab_size": 200, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        False,  # a table of relative positions that all samples share
    ),
}


def build(name, **changes):
    kind, config, _ = MODELS[name]
    torch.manual_seed(0)
    settings = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2} | config | changes
    made = getattr(transformers, f"{kind}Config")(**settings)
    made.decoder_start_token_id = 0
    made._experts_implementation = "eager"
    return getattr(transformers, f"{kind}ForSequenceClassification")(made).eval()


@pytest.fixture
def samples():
    """Samples of mixed length, with a duplicate; each ends with the token that BART and T5 want."""
    train, test = random_samples(12, 1), random_samples(3, 2)
    train.append(dict(train[0]))
    for sample in (*train, *test):
        sample["input_ids"] = [max(3, token) for token in sample["input_ids"]] + [2]
    return train, test


@pytest.mark.parametrize("name", MODELS)
def test_models_of_today_are_exact(name, samples):
    train, test = samples
    model = build(name)
    scores = gradient_products(model, train, test, max_tokens=80)
    assert largest_error(scores, model, train, test) <= 1e-5
    plan = Engine(model).plan
    assert plan.single_sample != MODELS[name][2]
    assert plan.equal_length == (name == "fnet")


def test_parameters_outside_all_rules_come_from_autograd(samples):
    train, test = samples
    model = tiny("bert")
    model.bert.shift = nn.Parameter(torch.randn(32))  # of a module that does much else
    model.bert.register_forward_hook(
        lambda module, args, output: type(output)(
            last_hidden_state=output.last_hidden_state,
            pooler_output=output.pooler_output * module.shift,
        )
    )
    assert Engine(model).plan.by_autograd == {"bert.shift"}
    scores = gradient_products(model, train, test)
    assert largest_error(scores, model, train, test) <= 1e-5


class Borrowing(nn.Linear):
    """A classifier that uses another module's weight, too."""

    def __init__(self, other):
        super().__init__(32, 2)
        self.other = other

    def forward(self, x):
        return super().forward(x) + super().forward(x @ self.other.weight)


def test_a_weight_used_outside_its_module_comes_from_autograd(samples):
    model = tiny("bert")
    model.classifier = Borrowing(model.bert.pooler.dense)
    train, test = samples
    scores = gradient_products(model, train, test)
    assert Engine(model).plan.by_autograd == {"bert.pooler.dense.weight"}
    assert largest_error(scores, model, train, test) <= 1e-5


def test_a_rule_whose_gradient_has_the_right_length_only_is_not_used(samples, monkeypatch):
    def reversed_rows(module, call, grad):
        found = rules.linear(module, call, grad)
        left, right = found["weight"].left, found["weight"].right
        return found | {"weight": rules.Outer(left.flip(-1), right)}  # as long, another direction

    model, (train, test) = tiny("bert"), samples
    weights = {f"{path}.weight" for path, m in model.named_modules() if isinstance(m, nn.Linear)}
    monkeypatch.setitem(rules.RULES, nn.Linear, reversed_rows)
    found = Engine(model).plan.by_autograd
    assert found <= weights and "bert.encoder.layer.0.intermediate.dense.weight" in found
    assert largest_error(gradient_products(model, train, test), model, train, test) <= 1e-5


@pytest.mark.parametrize(
    "change",
    [
        lambda found: {"weight": found["weight"]},
        lambda found: found | {"bias": rules.Vector(found["bias"].values[:, :-1])},
        lambda found: found | {"weight": rules.Outer(found["weight"].left, found["bias"].values)},
    ],
    ids=["no bias", "wrong size", "wrong dimensions"],
)
def test_a_rule_that_forgets_a_parameter_or_gives_a_wrong_size_is_not_used(
    samples, monkeypatch, change
):
    monkeypatch.setitem(rules.RULES, nn.Linear, lambda *call: change(rules.linear(*call)))
    model, (train, test) = tiny("bert"), samples
    assert any("dense" in name for name in Engine(model).plan.by_autograd)
    assert largest_error(gradient_products(model, train, test), model, train, test) <= 1e-5


class Grouped(nn.Module):
    """A linear layer whose weight has three dimensions."""

    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(size, 2, size // 2) / size**0.5)

    def forward(self, x):
        return x @ self.weight.flatten(1).T


def test_a_rule_may_give_outer_products_for_a_weight_of_three_dimensions(samples, monkeypatch):
    rule = lambda module, call, grad: {"weight": rules.Outer(grad, call.x)}  # noqa: E731
    monkeypatch.setitem(rules.RULES, Grouped, rule)
    model, (train, test) = tiny("bert"), samples
    model.bert.encoder.layer[1].output.LayerNorm = Grouped(model.config.hidden_size)
    assert not Engine(model).plan.by_autograd and not Engine(model).plan.single_sample
    scores = gradient_products(model, train, test, max_tokens=80)
    assert largest_error(scores, model, train, test) <= 1e-5


class Lora(nn.Module):
    """A frozen Linear with an adapter, put together and called as `peft.tuners.lora.Linear` is."""

    def __init__(self, base_layer, rank=2, alpha=4, dropout=0.1, bias=False):
        super().__init__()
        self.base_layer = base_layer.requires_grad_(False)
        self.lora_dropout = nn.ModuleDict({"default": nn.Dropout(dropout)})
        a = nn.Linear(base_layer.in_features, rank, bias=False)
        b = nn.Linear(rank, base_layer.out_features, bias=bias)
        self.lora_A, self.lora_B = nn.ModuleDict({"default": a}), nn.ModuleDict({"default": b})
        self.scaling = {"default": alpha / rank}

    def forward(self, x, *args, **kwargs):
        result = self.base_layer(x, *args, **kwargs)
        kind = result.dtype
        for name, a in self.lora_A.items():
            x = x.to(a.weight.dtype)
            changed = self.lora_B[name](a(self.lora_dropout[name](x)))
            result = result + changed * self.scaling[name]
        return result.to(kind)


class Saved(nn.Module):
    """A module and the copy that is trained in its place, as `modules_to_save` has them."""

    def __init__(self, original):
        super().__init__()
        copied = copy.deepcopy(original)
        self.original_module = original.requires_grad_(False)
        self.modules_to_save = nn.ModuleDict({"default": copied})

    def forward(self, *args, **kwargs):
        return self.modules_to_save["default"](*args, **kwargs)


TARGETS = {  # kind → names of the Linears that get adapters
    "bert": ("query", "value"),
    "xlm-roberta": ("query", "key", "value", "intermediate.dense"),
    "llama": ("q_proj", "v_proj", "down_proj"),
}
HEADS = ("classifier", "score")


def add_adapters(kind, with_head=True, bias=False):
    """A model as `peft.get_peft_model` leaves it: frozen but for adapters and, perhaps, head."""
    model = build(kind) if kind in MODELS else tiny(kind)
    model.requires_grad_(False)
    for path, module in [*model.named_modules()]:
        parent, _, name = path.rpartition(".")
        if path.endswith(tuple(f".{target}" for target in TARGETS[kind])):
            setattr(model.get_submodule(parent), name, Lora(module, bias=bias))
    if with_head:
        head = next(name for name in HEADS if hasattr(model, name))
        setattr(model, head, Saved(getattr(model, head).requires_grad_(True)))
    return model


def fill_adapters(model):
    """Give each `lora_B`, which begins at zero and so has no gradient behind it, random values."""
    torch.manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return model


def check_adapters(model, samples):
    """The adapters' influence is exact, in batches, and of them alone; nothing has changed."""
    train, test = samples
    model.eval()  # the new dropouts, for the truth that it is compared with
    state = {name: each.clone() for name, each in model.state_dict().items()}
    trained = {name for name, each in model.named_parameters() if each.requires_grad}
    plan = Engine(model).plan
    scores = gradient_products(model, train, test, max_tokens=80)
    assert largest_error(scores, model, train, test) <= 1e-5
    assert plan.by_autograd == frozenset() and not plan.single_sample
    assert trained == {name for name, each in model.named_parameters() if each.requires_grad}
    assert all("lora_" in name or "modules_to_save" in name for name in trained)
    assert all(torch.equal(state[name], each) for name, each in model.state_dict().items())


@pytest.mark.parametrize("with_head", [False, True])
@pytest.mark.parametrize("kind", TARGETS)
def test_lora_adapters_are_exact(kind, with_head, samples):
    check_adapters(fill_adapters(add_adapters(kind, with_head, bias=with_head)), samples)


def test_fresh_adapters_whose_first_half_has_no_gradient_are_exact(samples):
    model = add_adapters("bert", with_head=False)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.zeros_(parameter)
    check_adapters(model, samples)


@pytest.mark.parametrize("kind", TARGETS)
def test_models_of_peft_are_exact(kind, samples):
    peft = pytest.importorskip(
        "peft", reason="peft is not installed; the adapters built above stand in for it"
    )
    config = peft.LoraConfig(
        task_type="SEQ_CLS", r=2, lora_alpha=4, lora_dropout=0.1, target_modules=[*TARGETS[kind]]
    )
    model = peft.get_peft_model(build(kind) if kind in MODELS else tiny(kind), config)
    check_adapters(fill_adapters(model), samples)


class Scale(nn.Module):
    """A learned scale of each position's numbers, with a bend: no rule knows it."""

    def __init__(self, size):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(size))

    def forward(self, x):
        return x + torch.tanh(x * self.scale)


def test_a_small_module_of_ones_own_goes_in_batches(samples):
    model = tiny("bert")
    model.bert.encoder.layer[1].output.LayerNorm = Scale(32)
    train, test = samples
    assert Engine(model).plan.by_autograd == frozenset() and not Engine(model).plan.single_sample
    scores = gradient_products(model, train, test, max_tokens=80)
    assert largest_error(scores, model, train, test) <= 1e-5


class Shift(nn.Module):
    """Adds a table of positions, which all samples share, through a learned bend."""

    def __init__(self, size):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(size))

    def forward(self, x, table):
        return x + torch.tanh(table * self.scale) * x


class Shifted(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.shift = Shift(size)
        self.register_buffer("table", torch.randn(64, size))

    def forward(self, x):
        return self.shift(x, self.table[: x.shape[1]])


@pytest.mark.parametrize("length", [4, 5, 6])
def test_a_table_that_is_as_long_as_the_batch_is_still_shared(length):
    train = [s for s in random_samples(300, 3) if len(s["input_ids"]) == length][:5]
    model = tiny("bert")
    model.requires_grad_(False)  # so that nothing else covers up the table's part
    model.bert.encoder.layer[1].output.LayerNorm = Shifted(32)
    assert len(train) == 5 and not Engine(model).plan.single_sample
    scores = gradient_products(model, train, train[:2], max_tokens=5 * length)  # one batch of five
    assert largest_error(scores, model, train, train[:2]) <= 1e-5


class Picked(nn.Module):
    """A layer for some of the tokens only, an even number of them."""

    def __init__(self, size):
        super().__init__()
        self.layer = nn.Linear(size, size)

    def forward(self, x):
        tokens = x.flatten(0, 1)  # (batch × positions, size)
        chosen = tokens[:, 0].argsort()[-2 * (len(tokens) // 4) :]  # the same number, by value
        return tokens.index_add(0, chosen, self.layer(tokens[chosen])).view_as(x)


def test_a_layer_called_on_some_of_the_tokens_is_not_given_the_wrong_samples():
    model = tiny("bert")
    model.bert.encoder.layer[1].output.LayerNorm = Picked(32)
    assert Engine(model).plan.single_sample
    train = random_samples(8, 5)
    scores = gradient_products(model, train, train[:2], max_tokens=80)
    assert largest_error(scores, model, train, train[:2]) <= 1e-5


def test_a_forward_of_ones_own_is_put_back():
    model = tiny("bert")
    table = model.bert.embeddings.word_embeddings
    table.__class__ = type("Table", (nn.Embedding,), {"forward": lambda self, x: self.look(x)})
    table.look = nn.Embedding.forward.__get__(table)
    own = table.forward = lambda x: 2 * table.look(x)
    train = random_samples(4, 1)
    expected = influence(gradient_products(model, train, train)).to_numpy()
    assert vars(table)["forward"] is own
    assert np.array_equal(influence(gradient_products(model, train, train)), expected)


def test_a_model_that_answers_at_random_is_refused(samples):
    model = tiny("bert")
    model.classifier.register_forward_hook(lambda m, args, out: out + torch.rand_like(out))
    with pytest.raises(UncoveredError, match="different outputs for the same sample"):
        gradient_products(model, *samples)


def test_the_model_comes_back_as_it_was(samples):
    model = tiny("deberta-v2").train()
    model.deberta.encoder.layer[0].eval()
    next(model.parameters()).requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before = [(m.training, *(p.requires_grad for p in m.parameters())) for m in model.modules()]
    gradient_products(model, *samples)
    after = [(m.training, *(p.requires_grad for p in m.parameters())) for m in model.modules()]
    assert after == before
    assert all((parameter.grad == 1).all() for parameter in model.parameters())
    assert not any("forward" in vars(module) for module in model.modules())


def test_gradients_left_behind_change_nothing(samples):
    model = tiny("deberta-v2")
    clean = influence(gradient_products(model, *samples))
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    assert np.array_equal(influence(gradient_products(model, *samples)), clean)


def test_a_compiled_and_a_gradient_checkpointed_model_give_the_same(samples):
    model = tiny("bert")
    expected = influence(gradient_products(model, *samples))
    assert np.array_equal(influence(gradient_products(torch.compile(model), *samples)), expected)
    model.activation_checkpointing_enable()
    assert np.array_equal(influence(gradient_products(model.train(), *samples)), expected)


@pytest.mark.parametrize("part", ["", "bert"])
def test_a_model_compiled_in_place_runs_uncompiled_and_stays_compiled(samples, part):
    def refuse(graph, inputs):
        raise AssertionError("the engine compiles")

    torch.compiler.reset()
    model = tiny("bert")
    expected = influence(gradient_products(model, *samples))
    module = model.get_submodule(part)
    module.compile(backend=refuse)
    compiled = module._compiled_call_impl
    assert np.array_equal(influence(gradient_products(model, *samples)), expected)
    assert module._compiled_call_impl is compiled
    with pytest.raises(Exception, match="the engine compiles"), torch.no_grad():
        model(torch.tensor([[5, 6, 7]]))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_close(samples, dtype):
    train, test = samples
    scores = gradient_products(tiny("bert").to(dtype), train, test, max_tokens=80)
    assert largest_error(scores, tiny("bert"), train, test) <= 0.1


def plain_scores(model, samples):
    train, test = samples
    return cosines(plain(model, test), plain(model, train))


FORMS = {
    "labels": lambda s: {"input_ids": s["input_ids"], "labels": s["label"]},
    "tensors": lambda s: {
        "input_ids": torch.tensor([s["input_ids"]]),
        "labels": torch.tensor(s["label"]),
    },
    "arrays": lambda s: {
        "input_ids": np.array(s["input_ids"], dtype=np.int32),
        "label": np.int64(s["label"]),
    },
    "padded right": lambda s: {
        "input_ids": s["input_ids"] + [1, 1],
        "attention_mask": [1] * len(s["input_ids"]) + [0, 0],
        "label": s["label"],
    },
    "padded left": lambda s: {
        "input_ids": [1, 1, 1] + s["input_ids"],
        "attention_mask": [0] * 3 + [1] * len(s["input_ids"]),
        "label": s["label"],
    },
    "with token types": lambda s: s | {"token_type_ids": [0] * len(s["input_ids"])},
    "with other keys": lambda s: s | {"text": "…", "idx": 3},
}


@pytest.mark.parametrize("form", FORMS)
def test_samples_as_tokenizers_and_datasets_give_them(samples, form):
    model = tiny("bert")
    given = [[FORMS[form](sample) for sample in side] for side in samples]
    found = influence(gradient_products(model, *given)).to_numpy()
    assert np.abs(found - plain_scores(model, samples)).max() <= 1e-5


def test_a_dataset_is_read(samples):
    import datasets

    model = tiny("bert")
    columns = {
        "input_ids": [sample["input_ids"] for sample in samples[0]],
        "labels": [sample["label"] for sample in samples[0]],
    }
    train = datasets.Dataset.from_dict(columns)
    found = gradient_products(model, train, samples[1])
    assert found["train_label"].values.tolist() == columns["labels"]
    assert np.abs(influence(found).to_numpy() - plain_scores(model, samples)).max() <= 1e-5


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"input_ids": [3, 4]}, "test sample 0 has no label"),
        ({"label": 0}, "test sample 0 has no input_ids"),
        ({"input_ids": [3, 4], "label": 0, "labels": 1}, "label 0, 1; allowed is one"),
        ({"input_ids": [3, 4], "label": 0.5}, r"label 0\.5; allowed is one whole number"),
        ({"input_ids": [3.5], "label": 0}, "allowed are whole numbers"),
        ({"input_ids": [3, 4], "label": 0, "position_ids": [1, 2]}, "has position_ids, which"),
        ({"input_ids": [3, 4], "label": 0, "attention_mask": [1]}, "lengths differ"),
        (
            {"input_ids": [3, 4, 5], "label": 0, "attention_mask": [1, 0, 1]},
            "hides tokens in the middle",
        ),
        ({"input_ids": [3, 4], "label": 0, "attention_mask": [0, 0]}, "0 tokens"),
        ("text", "test sample 0 is a str; allowed is a dict"),
    ],
)
def test_what_the_engine_cannot_use_is_refused(sample, message):
    with pytest.raises(ValueError, match=message):
        gradient_products(tiny("bert"), random_samples(2, 0), [sample])


@pytest.mark.parametrize(("kind", "longest"), [("xlm-roberta", 62), ("bert", 64)])
def test_the_longest_input_is_the_models_own(kind, longest):
    model, train = tiny(kind), random_samples(2, 0)
    gradient_products(model, train, [{"input_ids": [5] * longest, "label": 0}])
    with pytest.raises(ValueError, match=f"1 to {longest} tokens"):
        gradient_products(model, train, [{"input_ids": [5] * (longest + 1), "label": 0}])


def test_token_type_ids_are_given_for_all_samples_or_for_none(samples):
    model, (train, test) = tiny("bert"), samples
    typed = [sample | {"token_type_ids": [0] * len(sample["input_ids"])} for sample in train]
    mixed = [*typed[:-1], train[-1]]
    message = f"train sample 0 has token_type_ids and train sample {len(train) - 1} has none"
    with pytest.raises(ValueError, match=message):
        gradient_products(model, mixed, test)


def test_an_input_that_a_wrapper_hides_is_refused(samples):
    """PEFT's models pass **kwargs on; their base model says which inputs it has."""
    model, (train, test) = tiny("bert"), samples
    forward = type(model).forward

    class Wrapped(type(model)):
        def forward(self, **kwargs):
            return forward(self, **kwargs)

        def get_base_model(self):
            return model

    wrapped = Wrapped(model.config)
    placed = [sample | {"position_ids": [*range(len(sample["input_ids"]))]} for sample in train]
    with pytest.raises(ValueError, match="has position_ids, which the engine does not pass"):
        gradient_products(wrapped, placed, test)
    del Wrapped.get_base_model
    with pytest.raises(ValueError, match="has position_ids, which the engine does not pass"):
        gradient_products(wrapped, placed, test)


class Passing(transformers.BertForSequenceClassification):
    """A model whose `forward` passes on whatever it is given."""

    def forward(self, input_ids, attention_mask=None, **others):
        return super().forward(input_ids, attention_mask=attention_mask, **others)


def with_types(side):
    """The samples with the second half of their tokens in a second text."""
    lengths = [len(sample["input_ids"]) for sample in side]
    types = [[0] * (n // 2) + [1] * (n - n // 2) for n in lengths]
    return [sample | {"token_type_ids": row} for sample, row in zip(side, types, strict=True)]


def test_token_types_that_a_model_takes_and_ignores_are_refused(samples):
    model, (train, test) = tiny("distilbert"), samples
    expected = influence(gradient_products(model, train, test)).to_numpy()
    zeros = [[FORMS["with token types"](sample) for sample in side] for side in samples]
    assert np.array_equal(influence(gradient_products(model, *zeros)), expected)
    typed = with_types(train)
    for sides in ((typed, test), (zeros[0], with_types(test))):
        with pytest.raises(ValueError, match=r"DistilBert.* ignores token_type_ids: .*zeros"):
            gradient_products(model, *sides)


def test_token_types_that_a_model_passes_on_are_used(samples):
    model, typed = tiny("bert"), [with_types(side) for side in samples]
    expected = influence(gradient_products(model, *typed)).to_numpy()
    passing = Passing(model.config).eval()
    passing.load_state_dict(model.state_dict())
    assert np.array_equal(influence(gradient_products(passing, *typed)), expected)
    assert not np.array_equal(influence(gradient_products(model, *samples)), expected)


@pytest.mark.parametrize(
    "changes", [{"num_labels": 1}, {"problem_type": "multi_label_classification"}]
)
def test_a_model_that_does_not_choose_one_class_is_refused(samples, changes):
    model, (train, test) = tiny("bert"), samples
    for key, value in changes.items():
        setattr(model.config, key, value)
    with pytest.raises(ValueError, match="choose one of two or more classes"):
        gradient_products(model, train, test)
