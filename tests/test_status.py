"""The status page's tables, from manifests."""

from xl_influence import params, status
from xl_influence.manifest import write_manifest


def test_steps_and_versions(tmp_path):
    environment = {
        "packages": {"torch": "2.13.0"},
        "python": "3.11.7",
        "device": "cpu",
        "threads": 1,
        "git_commit": "a" * 40,
    }
    cost = {"wall_seconds": 90, "peak_memory_gb": 2.0}
    one, two, none = (
        tmp_path / "demo" / "xnli" / name for name in ("base", "without-es", "plus-25-es")
    )
    for folder in (one, two, none):
        folder.mkdir(parents=True)
    write_manifest(
        one, finetune_cost=cost | {"finished": "2026-01-02 03:04"}, finetune_environment=environment
    )
    write_manifest(one, scores_cost=cost, scores_environment=environment | {"python": "3.12.0"})
    write_manifest(two, finetune_cost=cost, finetune_environment=environment | {"git_commit": None})
    table = status.list_steps([one, two, none])
    assert list(table["variant"]) == ["base", "base", "without-es"]
    assert (
        list(table["step"]) == ["fine-tuning", "influence", "fine-tuning"]
        and list(table["minutes"]) == [1.5] * 3
    )
    assert list(table["finished"]) == ["2026-01-02 03:04", "not recorded", "not recorded"]
    assert list(table["commit"]) == ["a" * 7, "a" * 7, ""]
    assert status.list_versions([one, two, none]).to_dict() == {
        "Python": "3.11.7, 3.12.0",
        "torch": "2.13.0",
    }


def test_parameters_are_those_that_the_cells_set():
    merged, source = params.from_notebook({"In": ["# Parameters\nstudy = 'smoke'\ntop_k = None"]})
    table = status.list_parameters(merged, source)
    assert table.to_dict("split")["data"] == [
        ["study", "smoke", "given"],
        ["top_k", "10", "studies/smoke.yaml"],
    ]


def test_counts_tell_what_was_left_out_and_cut():
    counts = {"en": {"0": 3, "1": 1}, "ko": {"0": 2, "1": 2}}
    manifest = {
        "class_counts": {"train": counts, "validation": counts},
        "rows": {"train": 8, "validation": 8},
        "parameters": {"max_length": 48},
        "inputs_cut_to_max_length": {"train": 2, "validation": 1, "test": 9},
    }
    plain = status.count_samples(manifest, ("no", "yes"))
    assert plain.loc["en"].tolist() == [4, "25%", 4, "25%"]
    assert status.describe_samples(manifest) == (
        "3 of the 16 training and development samples are longer than 48 tokens and are cut."
    )
    left = {"items": 3, "rows": {"en": 0, "ko": 3}}
    none = {"items": 0, "rows": {"en": 0, "ko": 0}}
    manifest |= {
        "untranslated": {"train": left, "validation": none},
        "unknown_tokens": {"en": 0.0, "ko": 0.251},
    }
    table = status.count_samples(manifest, ("no", "yes"))
    assert list(table)[4:] == ["untranslated: train", "unknown tokens"]
    assert table.loc["ko"].tolist()[4:] == [3, "25.1%"]
    assert "in all languages: 3 of train. 3 of the 16" in status.describe_samples(manifest)
