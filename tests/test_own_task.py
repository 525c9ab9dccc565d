"""A task of your own: formats, columns, languages, and what is said of every row that is wrong."""

import csv
import json
import re
import shlex
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, run_python
from snakemake.cli import parse_config

from xl_influence import (
    charts,
    data,
    literals,
    own_files,
    own_task,
    params,
    runs,
    sizes,
    status,
    tasks,
    workflow,
)
from xl_influence.languages import is_tag, name_language, normalize


def make_rows(languages=("en", "pt"), rows=4, item=True):
    """A list of rows, `bad` and `good` in turn."""
    return [
        {"text_a": f"{lang} text {n}", "label": "bad" if n % 2 else "good", "lang": lang}
        | ({"item": n} if item else {})
        for lang in languages
        for n in range(rows)
    ]


WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
    "parquet": lambda frame, path: frame.to_parquet(path),
}


def write(folder, rows=None, ending="csv", **parts):
    """Write the same rows, or those in `parts`, as each split; returns the folder."""
    folder.mkdir(exist_ok=True)
    for split in tasks.SPLITS:
        frame = pd.DataFrame(parts.get(split, rows or make_rows()))
        WRITERS[ending](frame, folder / f"{split}.{ending}")
    return folder


def merged(folder, **given):
    """Parameters of a small study of the files in a folder."""
    small = {"train_size": 2, "dev_size": 0, "top_k": 2, "removal_ks": [1]}
    return params.merge({"study": "smoke", "task": "own", "data_root": str(folder)} | small | given)


# ------------------------------------------------------------------ formats and columns


@pytest.mark.parametrize("ending", WRITERS)
def test_every_format_gives_the_same_samples(ending, tmp_path):
    wanted = data.load(merged(write(tmp_path / "csv")))
    found = data.load(merged(write(tmp_path / "other", ending=ending)))
    for split in tasks.SPLITS:
        pd.testing.assert_frame_equal(found[split], wanted[split])


def test_a_folder_saved_by_datasets(tmp_path):
    import datasets

    names = datasets.ClassLabel(names=["good", "bad"])
    rows = [row | {"label": names.str2int(row["label"])} for row in make_rows()]
    split = datasets.Dataset.from_list(rows).cast_column("label", names)
    saved = datasets.DatasetDict(dict.fromkeys(tasks.SPLITS, split))
    saved.save_to_disk(str(tmp_path / "saved"))
    given = merged(tmp_path / "saved")
    assert tasks.find(given).class_names == ("bad", "good")  # names, not numbers
    csv = data.load(merged(write(tmp_path / "csv")))
    pd.testing.assert_frame_equal(data.load(given)["train"], csv["train"])


def test_columns_are_named_by_parameters(tmp_path):
    names = {"text_a": "premise", "label": "sentiment", "lang": "locale"}
    rows = [{names.get(key, key): value for key, value in row.items()} for row in make_rows()]
    folder = write(tmp_path / "mine", rows)
    assert len(data.load(merged(folder, **names))["test"]) == 8
    with pytest.raises(params.ParameterError, match=r"no column 'text_a'.*text_a=<column>"):
        merged(folder)
    with pytest.raises(params.ParameterError, match=r"no column 'Premise'.*text_a=premise"):
        merged(folder, **(names | {"text_a": "Premise"}))
    with pytest.raises(params.ParameterError, match="text_a and label are the same column"):
        merged(folder, **(names | {"text_a": "sentiment"}))
    with pytest.raises(params.ParameterError, match=r"text_a='x' .given.: only the task own"):
        params.merge({"text_a": "x"})


def test_the_names_of_columns_change_the_fingerprint_only_if_given(tmp_path):
    from xl_influence import fingerprints

    rows = [row | {"text": row["text_a"]} for row in make_rows()]
    folder = write(tmp_path / "mine", rows)
    plain, named = merged(folder), merged(folder, text_a="text")
    assert fingerprints.hash_finetuning(plain) != fingerprints.hash_finetuning(named)
    assert fingerprints.hash_finetuning(plain) == fingerprints.hash_finetuning(
        plain | {"data_name": "x"}
    )


# ------------------------------------------------------------------ one file for each language


def write_each(folder, pattern, languages=("en", "pt"), **names):
    """Write a file for each language and split; `names`: split → what it is called."""
    for split in tasks.SPLITS:
        for lang in languages:
            path = folder / pattern.format(lang=lang, split=names.get(split, split))
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = pd.DataFrame(make_rows([lang])).drop(columns="lang")
            WRITERS[path.suffix[1:]](rows, path)
    return folder


@pytest.mark.parametrize(
    ("pattern", "validation"),
    [
        ("{lang}/{split}.tsv", "dev"),
        ("{lang}_{split}.csv", "valid"),
        ("data/reviews-{lang}-{split}.jsonl", "val"),
        ("{split}/{lang}.csv", "validation"),
        ("{lang}/{lang}.{split}.parquet", "dev"),
    ],
)
def test_each_language_can_have_a_file(pattern, validation, tmp_path):
    folder = write_each(tmp_path / "each", pattern, validation=validation)
    given = merged(folder, files=pattern)
    assert given["languages"] == ["en", "pt"] and tasks.find(given).parallel
    wanted = data.load(merged(write(tmp_path / "one")))
    for split in tasks.SPLITS:
        pd.testing.assert_frame_equal(data.load(given)[split], wanted[split])
    without_ending = merged(folder, files=pattern.rpartition(".")[0], languages=["pt", "en"])
    assert list(data.load(without_ending)["test"]["lang"].unique()) == ["pt", "en"]


def test_rows_of_several_files_are_named_by_their_own_file(tmp_path):
    folder = write_each(tmp_path / "mine", "{lang}/{split}.tsv")
    path = folder / "pt" / "train.tsv"
    for text, message in (
        ("text_a\tlabel\titem\nx\t\t1\n", "line 2: empty label"),
        ("text_a\tlabel\titem\nx\tbad\n", "line 2: 2 fields"),
        ("text_a\tlabel\titem\tlang\nx\tbad\t1\ten\n", "line 2: lang 'en' in a file of 'pt'"),
        ("text_a\tlabel\titem\ttext_b\nx\tbad\t1\ty\n", "only one of them has the column 'text_b'"),
    ):
        path.write_text(text)
        with pytest.raises(params.ParameterError, match=message) as error:
            merged(folder, files="{lang}/{split}.tsv")
        assert "pt/train.tsv" in str(error.value)
    path.write_text("text_a\tlabel\titem\nx\tbad\t1\nx\tgood\t2\nx\tbad\t9\n")
    (folder / "en" / "dev.tsv").write_text("text_a\tlabel\titem\nx\tmiddling\t1\n")
    (folder / "en" / "validation.tsv").unlink()
    given = merged(folder, files="{lang}/{split}.tsv")
    found = own_task.list_left_out(given, parallel=True)
    place, line, *_, reason, missing = found[found["lang"] == "pt"].iloc[0]
    assert (place, line) == ("pt/train.tsv", 4)
    assert (reason, missing) == ("item not in every language", "en")
    with pytest.raises(tasks.TaskError, match=r"en/dev\.tsv, line 2: unknown label 'middling'"):
        data.load(given)


def test_files_without_items_are_not_parallel_though_their_lines_are_the_same(tmp_path):
    folder = write_each(tmp_path / "mine", "{lang}/{split}.tsv")
    given = merged(folder, files="{lang}/{split}.tsv", item="none")
    assert not tasks.find(given).parallel
    assert set(data.load(given)["test"]["uid"]) == {
        f"{k}{n}" for k in ("en", "pt") for n in range(2, 6)
    }


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"no train\.csv .*say so by files=data-{lang}_{split}\.tsv"),
        ({"files": "{lang}.tsv"}, r"allowed is a path with {split}, and {lang}"),
        ({"files": "{language}/{split}.tsv"}, r"allowed is a path inside data_root, with {split}"),
        ({"files": "/{lang}/{split}.tsv"}, "allowed is a path inside data_root"),
        ({"files": "{lang}/{split}.tsv"}, r"no file for train; there is data-en_dev\.tsv, "),
        (
            {"files": "data-{lang}_{split}", "languages": ["en", "fr"]},
            r"no file for train .train. in fr; there is one in en, pt\. Set languages",
        ),
        ({"files": "data-{lang}_{split}"}, r"no file for test .test. in pt; there is one in en"),
        (
            {"files": "data-en_{split}", "languages": ["en"]},
            r"data-en_val\.tsv and data-en_dev\.tsv",
        ),
    ],
)
def test_files_that_are_not_found_are_named_with_what_is_there(given, message, tmp_path):
    folder = write_each(tmp_path / "mine", "data-{lang}_{split}.tsv", validation="dev")
    (folder / "data-pt_test.tsv").unlink()
    if given.get("files") == "data-en_{split}":
        (folder / "data-en_val.tsv").write_text("text_a\tlabel\n")
    with pytest.raises((params.ParameterError, tasks.TaskError), match=message):
        tasks.find(merged(folder, **given))
    with pytest.raises(params.ParameterError, match=r"files='{split}' .given.: only the task own"):
        params.merge({"files": "{split}"})


def test_a_split_has_its_usual_names(tmp_path):
    folder = write(tmp_path / "mine")
    (folder / "validation.csv").rename(folder / "dev.csv")
    assert len(data.load(merged(folder))["validation"]) == 8
    write(folder)
    with pytest.raises(params.ParameterError, match=r"validation\.csv and dev\.csv"):
        merged(folder)


# ------------------------------------------------------------------ languages


def test_languages_are_those_of_the_training_data(tmp_path):
    folder = write(tmp_path / "mine", make_rows(("pt-BR", "eng_Latn", "no")))
    given = merged(folder)
    assert given["languages"] == ["pt-BR", "eng_Latn", "no"]
    assert given["zero_shot_languages"] == ["no"]  # the study's file says es
    names = [f"without-{lang}" for lang in given["languages"]] + ["plus-50-pt-BR"]
    for name in names:
        assert params.with_variant(given, name)["variant"] == name
    assert runs.find_folder(given).parts[-3:] == ("smoke", "own-mine", "base")


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("pt-BR", "Portuguese (Brazil)"),
        ("eng_Latn", "English (Latin)"),
        ("zho_Hans", "Chinese (Simplified)"),
        ("no", "Norwegian"),
        ("hau", "Hausa"),
        ("en", "English"),
        ("tlh_Xyzz", "Klingon (Xyzz)"),
        ("qqq", "qqq"),
        ("all", "all"),
    ],
)
def test_a_language_has_a_name(tag, name):
    assert name_language(tag) == name


OF_FLORES = {  # names that are not CLDR's, and of codes that are not those of CLDR
    "acm_Arab": "Mesopotamian Arabic",
    "acq_Arab": "Ta’izzi-Adeni Arabic",
    "ajp_Arab": "South Levantine Arabic",
    "apc_Arab": "North Levantine Arabic",
    "azb_Arab": "South Azerbaijani",
    "cjk_Latn": "Chokwe",
    "dik_Latn": "Southwestern Dinka",
    "fuv_Latn": "Nigerian Fulfulde",
    "hne_Deva": "Chhattisgarhi",
    "kbp_Latn": "Kabiyè",
    "pbt_Arab": "Southern Pashto",
    "prs_Arab": "Dari",
    "quy_Latn": "Ayacucho Quechua",
    "taq_Latn": "Tamasheq",
    "taq_Tfng": "Tamasheq",
    "tgl_Latn": "Tagalog",
    "twi_Latn": "Twi",
}


def test_every_language_of_flores_200_has_a_name_of_its_own():
    from transformers.models.nllb.tokenization_nllb import FAIRSEQ_LANGUAGE_CODES

    codes = [*FAIRSEQ_LANGUAGE_CODES, "arb_Latn", "min_Arab", "sat_Olck"]  # which NLLB leaves out
    names = {code: name_language(code) for code in codes}
    assert len(codes) == len(set(names.values())) == len({*map(normalize, codes)}) == 205
    assert not [code for code, name in names.items() if not re.fullmatch(r"\w.+ \(.+\)", name)]
    assert {code: names[code].partition(" (")[0] for code in OF_FLORES} == OF_FLORES


def test_tags():
    assert all(map(is_tag, ("en", "pt-BR", "eng_Latn", "no", "es-419", "portuguese")))
    assert not any(map(is_tag, ("", "e", "en ", "the soup", "12", "epoch", "all", "en-")))
    assert normalize("eng_Latn") == normalize("en-latn") == "en-Latn"
    assert normalize("PT_br") == "pt-BR"


def test_colors_are_distinct_and_stable():
    names = [f"language {n}" for n in range(40)]
    chosen = charts.choose_colors(names)
    assert len(set(chosen.values())) == 40 and list(chosen) == names
    few = charts.choose_colors(["Italian", "Portuguese", "English"])
    assert few["English"] == charts.COLORS["en"] and len(set(few.values())) == 3
    assert set(few.values()) <= set(list(charts.COLORS.values())[:7])  # the best
    assert charts.choose_colors(["Portuguese", "English", "Italian"]) == few


def test_a_chart_of_some_languages_has_the_colors_of_the_study(monkeypatch):
    monkeypatch.setenv("XL_INFLUENCE_BOOK", "1")
    languages = ["it", "pt", "id", "ha", "sw_KE"]
    charts.set_up(languages)
    whole = charts.choose_colors([name_language(lang) for lang in languages])
    part = charts.choose_colors([name_language("ha")])
    assert part == {"Hausa": whole["Hausa"]} and len(set(whole.values())) == 5
    charts.set_up()


def test_norwegian_is_a_text_in_files_and_on_command_lines(tmp_path):
    assert literals.load_yaml("[en, no, yes, true, 3]") == ["en", "no", "yes", True, 3]
    for text in ("[en,no]", "[en, no]", '["en", "no"]', "en,no", "en no"):
        assert params.parse([f"languages={text}"]) == {"languages": ["en", "no"]}
    folder = write(tmp_path / "mine", make_rows(("en", "no")))
    assert merged(folder, languages=["en", False])["languages"] == ["en", "no"]  # papermill's -y
    assert merged(folder, languages="[en, no]")["languages"] == ["en", "no"]  # papermill's -p


def test_one_language_needs_no_column(tmp_path):
    rows = [{"text_a": f"text {n}", "label": n % 3} for n in range(6)]
    given = merged(write(tmp_path / "mine", rows), languages=["no"])
    samples = data.load(given)
    assert set(samples["test"]["lang"]) == {"no"} and not tasks.find(given).parallel
    names = workflow.list_notebooks(*params.merge_with_source(given))
    assert not set(workflow.TRAINED_AGAIN) & set(names) and "09-the-paper-and-this-run" in names
    with pytest.raises(params.ParameterError, match="compares models of different languages"):
        workflow.check(*params.merge_with_source(given), ["07-zero-shot"])


# ------------------------------------------------------------------ items and classes


def test_without_items_a_task_is_not_parallel(tmp_path):
    folder = write(tmp_path / "mine", make_rows(item=False))
    given = merged(folder)
    assert not tasks.find(given).parallel
    assert set(data.load(given)["test"]["uid"]) == {
        *(f"en{line}" for line in (2, 3, 4, 5)),  # the item is the line
        *(f"pt{line}" for line in (6, 7, 8, 9)),
    }
    with_items = write(tmp_path / "items", make_rows())
    assert tasks.find(merged(with_items)).parallel
    assert not tasks.find(merged(with_items, item="none")).parallel


def test_numbers_are_classes_in_their_order(tmp_path):
    rows = [row | {"label": n % 4 + 8} for n, row in enumerate(make_rows())]
    assert tasks.find(merged(write(tmp_path / "mine", rows))).class_names == ("8", "9", "10", "11")
    floats = [row | {"label": float(n % 4)} for n, row in enumerate(make_rows())]
    folder = write(tmp_path / "floats", floats, "parquet")
    assert tasks.find(merged(folder)).class_names == ("0", "1", "2", "3")


def test_shares_of_classes_with_a_class_that_a_language_lacks():
    counts = {"en": {"0": 1, "2": 3}, "pt": {"1": 2, "2": 2}}
    manifest = {"class_counts": {"train": counts, "validation": counts, "test": counts}}
    table = status.count_classes(manifest, ["a", "b", "c"])
    assert table[table["samples"] == "training"][["class", "en", "pt"]].to_numpy().tolist() == [
        ["a", "1 (25 %)", "0 (0 %)"],
        ["b", "0 (0 %)", "2 (50 %)"],
        ["c", "3 (75 %)", "2 (50 %)"],
    ]
    shares = status.count_samples(manifest, ["a", "b", "c"])
    assert shares.loc["en", "training samples: c"] == "75%"


# ------------------------------------------------------------------ rows


HEAD = "text_a,label,lang,item\n"
GOOD = "x,bad,en,1\nx,good,en,2\nx,bad,pt,1\nx,good,pt,2\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("the soup, was warm,good,en,1\n", "line 2: 5 fields, but the first line names 4"),
        ("x,bad,en,1\nx,bad,en\n", "line 3: 3 fields.*cut short"),
        ('"a\nb",bad,en,1\nx,bad\n', "line 4: 2 fields"),  # a text of two lines
        ('"open,bad,en,1\nx,bad,en,2\n', "line 2: unexpected end of data"),
        ("x,,en,1\n", "line 2: empty label"),
        (" ,bad,en,1\n", "line 2: empty text_a"),
        ("x,bad,,1\n", "line 2: empty lang"),
        ("x,bad,en,\n", "line 2: empty item"),
        ("x,bad,en ,1\n", "line 2: lang 'en ' begins or ends with a space"),
        ("x,bad,the soup,1\n", "line 2: lang 'the soup' not a language tag"),
        ("x, bad,en,1\n", "line 2: label ' bad' begins or ends with a space"),
        ("x,bad,en,1 \n", "line 2: item '1 ' begins or ends with a space"),
        (GOOD + "x,bad,EN,3\n", "line 6: lang 'EN' is 'en' in another spelling"),
        (GOOD + "x,bad,eng,3\n", "line 6: lang 'eng' is 'en' in another spelling"),
        (GOOD + "y,bad,en,1\n", "line 6: item 1 in en is already on line 2.*item=none"),
    ],
)
def test_a_row_that_is_wrong_is_named_by_file_and_line(rows, message, tmp_path):
    for split in tasks.SPLITS:
        (tmp_path / f"{split}.csv").write_text(HEAD + GOOD)
    (tmp_path / "train.csv").write_text(HEAD + rows)
    with pytest.raises((own_files.TaskError, params.ParameterError), match=message) as error:
        data.load(merged(tmp_path))
    assert "train.csv" in str(error.value)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("text_a,label,lang\nx,bad,en\nelétrico,bad,pt\n".encode("latin-1"), "line 3: not UTF-8"),
        ("text_a,label,lang\nx,bad,en\n".encode("utf-16"), "not UTF-8, but UTF-16"),
        ("text_a,label,lang\n\x00x,bad,en\n".encode("ascii"), "line 2: not UTF-8"),
        (b"", "the file is empty"),
        (b"text_a;label;lang\nx;bad;en\n", "separated by another character"),
        (b"text_a,text_a,lang\nx,bad,en\n", "two columns are named 'text_a'"),
        (b"text_a,label,lang\n", "has no rows, only the names of columns"),
    ],
)
def test_a_file_that_is_wrong_is_named(raw, message, tmp_path):
    write(tmp_path)
    (tmp_path / "train.csv").write_bytes(raw)
    with pytest.raises(params.ParameterError, match=message) as error:
        merged(tmp_path)
    assert "train.csv" in str(error.value)


def test_a_file_with_a_byte_order_mark_and_windows_lines_is_read(tmp_path):
    for split in tasks.SPLITS:
        text = (HEAD + GOOD).replace("\n", "\r\n")
        (tmp_path / f"{split}.csv").write_bytes(text.encode("utf-8-sig"))
    assert len(data.load(merged(tmp_path))["train"]) == 4


def test_a_long_text_is_read_and_the_limit_of_csv_stays_as_it_was(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text(f"text_a,label\n{'long ' * 40_000},bad\n")
    assert len(own_files.read(tmp_path / "a.csv")["text_a"].iloc[0]) == 200_000
    assert csv.field_size_limit() == limit


def test_a_quote_that_swallows_the_next_rows_of_a_tsv_stops_the_run(tmp_path):
    rows = ['"What now\tgood\ten', 'No way"\tbad\ten', "x\tbad\ten"]
    (tmp_path / "a.tsv").write_text("\n".join(["text_a\tlabel\tlang", *rows, ""]))
    with pytest.raises(own_files.TaskError, match="line 2: a text that begins with a"):
        own_files.read(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("value", "text"), [(pd.NA, ""), (None, ""), (float("nan"), ""), (3.0, "3"), (True, "True")]
)
def test_values_of_parquet_files_become_text(value, text, tmp_path):
    assert own_files.to_text(tmp_path, "label", value) == text


@pytest.mark.parametrize("value", [b"x", ["x"], {"a": 1}, np.array(["x", "y"])])
def test_a_value_that_is_no_text_is_named(value, tmp_path):
    with pytest.raises(own_files.TaskError, match=r"row 1: text_a holds .*allowed are texts"):
        own_files.to_text(tmp_path / "a.parquet", "row 1: text_a", value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text_a": "x", "label": "bad"', "line 3: not JSON"),
        ('{"text_a": "x", "label": "bad", "label": "good"}', "line 3: .* two values for 'label'"),
        ('["x", "bad", "en"]', "line 3: .* is not a JSON object"),
        ('{"text_a": "x", "label": "bad"}', "line 3: empty lang"),
        ('{"text_a": null, "label": "bad", "lang": "en"}', "line 3: empty text_a"),
        ('{"text_a": ["x"], "label": "bad", "lang": "en"}', "line 3: text_a holds"),
    ],
)
def test_a_line_of_json_that_is_wrong_is_named(line, message, tmp_path):
    write(tmp_path, make_rows(item=False), "jsonl")
    good = json.dumps({"text_a": "x", "label": "good", "lang": "en"})
    (tmp_path / "train.jsonl").write_text(f"{good}\n{good}\n{line}\n")
    with pytest.raises(params.ParameterError, match=message):
        merged(tmp_path)


@pytest.mark.parametrize("ending", WRITERS)
def test_labels_and_items_are_kept_as_they_are_written(ending, tmp_path):
    names = {0: "2024.1", 1: "2024.10", 2: "010"}
    rows = [row | {"label": names[row["item"] % 3]} for row in make_rows()]
    rows = [row | {"item": f"0{row['item']}.50"} for row in rows]
    folder = write(tmp_path, rows, ending)
    if ending == "jsonl":  # numbers that are not in quotes
        for split in tasks.SPLITS:
            path = folder / f"{split}.jsonl"
            path.write_text(path.read_text().replace('"2024.10"', "2024.10"))
    assert tasks.find(merged(folder)).class_names == ("010", "2024.1", "2024.10")
    assert set(own_task.read_own(merged(folder), "train")["item"]) == {f"0{n}.50" for n in range(4)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "Bad"}, r"test\.csv, line 9: label 'Bad' is 'bad' in another spelling"),
        ({"item": "3.0"}, r"test\.csv, line 9: item '3\.0' in pt is '3' in en in another spelling"),
        (
            {"item": "03"},
            r"line 9: item '03' in pt is '3' in en in another spelling .*test\.csv, line 5; 1 such",
        ),
        ({"label": "odd"}, r"test\.csv, line 9: unknown label 'odd'; allowed are bad, good, the"),
        (
            {"label": "good"},
            r"test\.csv, line 9: misaligned translations: item 3 is labelled good in pt and bad in "
            r"en \(.*test\.csv, line 5; 1 such items\)",
        ),
    ],
)
def test_a_row_that_does_not_fit_another_is_named_before_anything_is_computed(
    change, message, tmp_path
):
    rows = make_rows()
    folder = write(tmp_path, test=[*rows[:-1], rows[-1] | change])
    whole = params.merge_with_source(merged(folder))
    with pytest.raises(params.ParameterError, match=message):
        workflow.check(*whole, [])
    if "spelling" not in message:  # a language that is not in the study does not matter
        workflow.check(*params.merge_with_source(merged(folder, languages=["en"])), [])


def test_items_of_one_language_may_differ_in_their_spelling_only(tmp_path):
    rows = [row | {"item": ["1", "01", "a", "A"][row["item"]]} for row in make_rows()]
    assert tasks.find(merged(write(tmp_path, rows))).parallel


def test_a_folder_of_datasets_has_the_usual_names_of_splits(tmp_path):
    import datasets

    for name in ("validation", "valid", "val", "dev"):
        made = {split: datasets.Dataset.from_list(make_rows()) for split in ("train", name, "test")}
        datasets.DatasetDict(made).save_to_disk(tmp_path / name)
        assert len(data.load(merged(tmp_path / name))["validation"]) == 8
    datasets.DatasetDict(made | {"val": made["dev"]}).save_to_disk(tmp_path / "both")
    with pytest.raises(params.ParameterError, match="val and dev; allowed is one"):
        merged(tmp_path / "both")


def test_what_to_do_with_the_files_of_the_hub_is_right(tmp_path):
    import datasets

    frame = pd.DataFrame(make_rows())
    for name, parts in (("several", 2), ("one", 1)):
        folder = tmp_path / name / "data"
        folder.mkdir(parents=True)
        for split in tasks.SPLITS:
            for n in range(parts):
                frame.iloc[n::parts].to_parquet(
                    folder / f"{split}-{n:05}-of-{parts:05}.parquet", index=False
                )
    with pytest.raises(params.ParameterError) as error:
        merged(tmp_path / "several")
    advice = re.search(r"one by (datasets\.load_dataset\('.*'\)\.save_to_disk)", str(error.value))
    eval(advice[1], {"datasets": datasets})(tmp_path / "joined")
    samples = data.load(merged(tmp_path / "joined"))["test"]
    assert sorted(samples["text_a"]) == sorted(frame["text_a"])
    with pytest.raises(params.ParameterError) as error:
        merged(tmp_path / "one")
    pattern = re.search(r"files=(\S+)$", str(error.value))[1]
    assert pattern == "data/{split}-00000-of-00001.parquet"
    assert data.load(merged(tmp_path / "one", files=pattern))["test"].equals(
        data.load(merged(write(tmp_path / "plain")))["test"]
    )


def test_files_must_have_the_same_form(tmp_path):
    pairs = [row | {"text_b": "y"} for row in make_rows()]
    folder = write(tmp_path / "mine", test=pairs)
    with pytest.raises(tasks.TaskError, match=r"'text_b' is in test\.csv, but not in train"):
        data.load(merged(folder))
    assert data.load(merged(folder, text_b="none"))["test"]["text_b"].isna().all()
    folder = write(tmp_path / "items", validation=make_rows(item=False))
    with pytest.raises(tasks.TaskError, match=r"'item' is in train\.csv and test\.csv"):
        data.load(merged(folder))
    WRITERS["tsv"](pd.DataFrame(make_rows()), folder / "train.tsv")
    with pytest.raises(params.ParameterError, match=r"train\.csv and train\.tsv"):
        merged(folder)


def test_rows_that_are_left_out_are_listed(tmp_path):
    rows = [*make_rows(), {"text_a": "x", "label": "bad", "lang": "en", "item": 9}]
    rows.append({"text_a": "x", "label": "bad", "lang": "fr", "item": 1})
    given = merged(write(tmp_path / "mine", rows), languages=["en", "pt"])
    found = own_task.list_left_out(given, parallel=True)
    assert found[found["file"] == "test.csv"].drop(columns="file").to_numpy().tolist() == [
        [11, "fr", "1", "language not in the study", ""],
        [10, "en", "9", "item not in every language", "pt"],
    ]
    counted = own_task.count_left_out(found)
    assert len(counted) == 6 and set(counted["rows"]) == {1} and "10" in set(counted["lines"])
    assert status.list_left_out(given).equals(found)


def test_a_split_without_common_items_is_named(tmp_path):
    apart = [row | {"item": f"{row['lang']}{row['item']}"} for row in make_rows()]
    folder = write(tmp_path / "mine", test=apart)
    with pytest.raises(data.DataError, match=r"test: no item is in every language .en has en0"):
        data.load(merged(folder))
    with pytest.raises(params.ParameterError, match="0 whose items every language has"):
        workflow.check(*params.merge_with_source(merged(folder)), [])


# ------------------------------------------------------------------ before anything is computed


def test_too_few_rows_for_section_84_are_said_at_once(tmp_path):
    folder = write(tmp_path / "mine", make_rows(rows=6))
    given = {"study": "smoke", "task": "own", "data_root": str(folder), "dev_size": 2}
    given |= {"top_k": 4, "train_size": 4, "imbalance_percents": [25, 100]}
    whole = params.merge_with_source(given)
    workflow.check(*whole, ["02-influence", "07-zero-shot"])
    message = "plus-100-pt: 8 rows in pt asked for.*train_size to 3 at most, or .*_percents to 50"
    with pytest.raises(params.ParameterError, match=message):
        workflow.check(*whole, workflow.PER_TASK)
    workflow.check(
        *params.merge_with_source(given | {"imbalance_percents": [50]}), workflow.PER_TASK
    )
    absent = params.merge_with_source(given | {"languages": ["en", "no"]})
    with pytest.raises(params.ParameterError, match=r"train\.csv: no rows in no; there are en, pt"):
        workflow.check(*absent, [])
    sizes.check(params.merge({"study": "demo"}))  # other tasks have no files to check


def test_section_6_has_the_languages_and_columns_that_are_given(tmp_path):
    folder = write(tmp_path / "mine", make_rows(("en", "pt", "fr")))
    given = {"study": "cpu", "task": "own", "data_root": str(folder), "languages": ["en", "fr"]}
    small = params.switch_study(*params.merge_with_source(given), "removal_study")
    assert small["study"] == "cpu-small" and small["languages"] == ["en", "fr"]
    assert small["data_name"] == "mine"
    hub = params.merge_with_source({"study": "cpu", "languages": ["en", "sw"], "data": "demo"})
    small = params.switch_study(*hub, "removal_study")
    assert small["languages"] == ["en", "sw"] and small["data"] == "demo"


def test_other_tasks_are_compared_where_they_allow_what_is_given():
    whole = params.merge_with_source({"study": "smoke", "languages": ["en", "ru"]})
    assert list(params.find_other_tasks(*whole)) == ["xnli"]
    assert list(params.find_other_tasks(*params.merge_with_source({}))) == list(tasks.TASKS)


# ------------------------------------------------------------------ paths and words


def test_data_sets_do_not_share_a_folder(tmp_path):
    from xl_influence import finetune
    from xl_influence.manifest import write_manifest

    first, second = (write(tmp_path / name) for name in ("one", "two words"))
    places = {str(runs.find_folder(merged(folder))) for folder in (first, second)}
    assert len(places) == 2 and any("own-two-words" in place for place in places)
    (tmp_path / "x").mkdir()
    third = write(tmp_path / "x" / "one")
    root = {"runs_root": str(tmp_path / "runs")}
    run = runs.find_folder(merged(first, **root))
    run.mkdir(parents=True)
    write_manifest(run, parameters=merged(first, **root))
    with pytest.raises(runs.RunError, match=r"another data set, .*one\..*data_name"):
        finetune.finetune(merged(third, **root))
    small = {"study": "smoke", "task": "own", "train_size": 2, "dev_size": 2, "top_k": 2}
    small |= root | {"imbalance_percents": [50], "data_root": str(first)}
    workflow.check(*params.merge_with_source(small | {"variant": "without-pt"}), [])
    for other in ({"data_root": str(third)}, {"files": "{split}.csv"}):
        for variant in ("base", "without-pt"):  # before anything is computed
            whole = params.merge_with_source(small | other | {"variant": variant})
            with pytest.raises(params.ParameterError, match=r"base holds results of another data"):
                workflow.check(*whole, [])
    assert runs.find_folder(merged(third, data_name="three", **root)).parent.name == "own-three"


def test_paths_are_those_of_where_one_is(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "my task")
    for text in ("my task", "~/my task", f"{folder}", '"my task"'):
        found = params.parse([f"data_root={text}", "task=own", "study=smoke", "lang="])
        assert found["data_root"] == str(folder) and found["lang"] == ""
    (tmp_path / "a=b: #c").mkdir()
    assert params.parse(["data_root=a=b: #c"])["data_root"] == str(tmp_path / "a=b: #c")
    (tmp_path / "model").mkdir()
    assert params.parse(["encoder=model"])["encoder"] == str(tmp_path / "model")
    assert params.parse(["encoder=no/model"])["encoder"] == "no/model"  # perhaps a hub id


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("languages", "write key=value, in quotes"),
        ("languages=[en,", r"write it as in languages=\[en,de\]"),
        ("removal_ks=[5,", r"write it as in removal_ks=\[50,100\]"),
        ("train_size=[", "cannot be read"),
    ],
)
def test_what_cannot_be_read_shows_the_right_spelling(pair, message):
    with pytest.raises(params.ParameterError, match=message):
        params.parse([pair])


def test_make_leaves_paths_to_python():
    text = (ROOT / "Makefile").read_text()
    assert "abspath $(DATA_ROOT)" not in text and 'data_root="$(DATA_ROOT)"' in text


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@pytest.mark.parametrize(
    ("words", "read"),
    [
        ("languages=en no", "languages=en,no"),
        ("languages=[en, no] epochs=2", "languages=[en,no] epochs=2"),
        ("languages=[en , no] epochs=2", "languages=[en,no] epochs=2"),
        ("epochs=2 removal_ks=[5 10]", "epochs=2 removal_ks=[5,10]"),
        ("text_a='the text' epochs=2", "text_a='the text' epochs=2"),
        ("", ""),
    ],
)
def test_make_reads_lists_with_spaces(words, read):
    command = ["make", "--no-print-directory", "-n", "study", "TASK=xnli", f"SET={words}"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert printed.rstrip().endswith(f'variant="base"  {read}'.rstrip())


# Texts that are something else, or other texts, to Snakemake or in YAML
CHANGED = ["007", "1e3", "on", "no", "null", "1_000", "2024-01-01", "0x10", "3.10", "True", "~"]


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("languages=nan", {"languages": ["nan"]}),
        ("languages=no", {"languages": ["no"]}),
        ("languages=[en,nan,no,on,yes]", {"languages": ["en", "nan", "no", "on", "yes"]}),
        ("languages=en,no", {"languages": ["en", "no"]}),
        ("languages=yes", {"languages": ["yes"]}),
        ("languages=[en, no]", {"languages": ["en", "no"]}),
        ("removal_ks=5", {"removal_ks": [5]}),
        ("epochs=2", {"epochs": 2}),
        *((f"text_a={text}", {"text_a": text}) for text in (*CHANGED, "a: b", "")),
    ],
)
def test_words_are_read_the_same_here_and_through_snakemake(words, given):
    assert params.parse([words]) == given
    written = literals.as_written(parse_config([words]), [words])
    assert literals.read_given(written, ROOT) == given


def test_texts_reach_the_steps_of_a_study_as_they_are_written(tmp_path):
    columns = {"text_a": "1e3", "label": "3.10", "lang": "no", "item": "1_000"}
    rows = [{columns[key]: value for key, value in row.items()} for row in make_rows(rows=40)]
    given = columns | {"data_name": "007"}
    small = ("study=smoke", "tasks=own", "once=", "train_size=2", "dev_size=0", "top_k=2")
    place = (f"data_root={write(tmp_path / 'mine', rows)}", f"runs_root={tmp_path / 'runs'}")
    words = (*small, *place, *(f"{key}={value}" for key, value in given.items()))
    options = ("--profile", "profiles/local", "-c1", "--nolock", "-n", "-p", "--quiet", "host")
    done = run_python("-m", "snakemake", *options, "--config", *words)
    steps = [line for line in done.stdout.splitlines() if "xl_influence.steps" in line]
    assert steps and f"{tmp_path}/runs/smoke/own-007/base/steps/" in done.stdout
    for line in steps:
        pairs = [word for word in shlex.split(line) if "=" in word]
        assert params.parse(pairs).items() >= given.items()


@pytest.mark.parametrize("value", [[["en"]], 5, ["en", True], ["en", None], [1.5], {"en": 1}])
def test_a_list_of_languages_holds_texts(value):
    with pytest.raises(params.ParameterError, match=r"is no text.*write it as in languages=\[en"):
        params.merge({"languages": value})


def test_numbers_that_may_have_been_changed_are_refused():
    for value in (2024.1, 7, True, False):  # as a YAML file of Snakemake gives them
        with pytest.raises(params.ParameterError, match=f'data_name={value}.*data_name: "2024'):
            literals.read_given({"data_name": value}, ROOT)
    for text in ("010", "1_0", "0x10", "1:30"):  # 8, 10, 16 and 90 in YAML 1.1
        with pytest.raises(params.ParameterError, match=f"train_size='{text}' .*a whole number"):
            params.merge(params.parse([f"train_size={text}"]))
    with pytest.raises(params.ParameterError, match="removal_ks="):
        params.merge(params.parse(["removal_ks=[010]"]))
    assert params.parse(["train_size=-1", "epochs=12"]) == {"train_size": -1, "epochs": 12}
