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
    table = status.steps([one, two, none])
    assert list(table["variant"]) == ["base", "base", "without-es"]
    assert (
        list(table["step"]) == ["fine-tuning", "influence", "fine-tuning"]
        and list(table["minutes"]) == [1.5] * 3
    )
    assert list(table["finished"]) == ["2026-01-02 03:04", "not recorded", "not recorded"]
    assert list(table["commit"]) == ["a" * 7, "a" * 7, ""]
    assert status.versions([one, two, none]).to_dict() == {
        "Python": "3.11.7, 3.12.0",
        "torch": "2.13.0",
    }


def test_parameters_are_those_that_the_cells_set():
    merged, source = params.from_notebook({"In": ["# Parameters\nstudy = 'smoke'\ntop_k = None"]})
    table = status.parameters(merged, source)
    assert table.to_dict("split")["data"] == [
        ["study", "smoke", "given"],
        ["top_k", "10", "studies/smoke.yaml"],
    ]
