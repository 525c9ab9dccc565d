"""The list of settings that were tried for a task."""

import pytest

from xl_influence import params, runs, settings
from xl_influence.manifest import write_manifest


def finish(folder, rate, accuracies):
    """The parameters of a run that ended with these accuracies by epoch."""
    given = {"study": "smoke", "task": "marc", "runs_root": str(folder), "learning_rate": rate}
    merged = params.merge(given)
    rows = [
        {"epoch": epoch, "accuracy": each} | dict.fromkeys(merged["languages"], each - 0.01)
        for epoch, each in enumerate(accuracies, 1)
    ]
    best = max(range(len(accuracies)), key=accuracies.__getitem__) + 1
    write_manifest(
        runs.find_folder(merged), parameters=merged, dev_accuracy=rows, chosen_epoch=best
    )
    return merged


def test_settings_are_listed_once_and_the_one_in_use_is_marked(tmp_path):
    target = tmp_path / "results"
    first = finish(tmp_path / "a", 1e-4, [0.7, 0.8, 0.6])
    assert settings.read(first, target) is None
    settings.add(first, target)
    second = finish(tmp_path / "b", 5e-5, [0.75, 0.5])
    settings.add(second, target)
    settings.add(first, target)
    table = settings.read(second, target)
    assert table["learning_rate"].tolist() == [5e-5, 1e-4]
    assert table["used"].tolist() == [True, False]
    assert table["chosen_epoch"].tolist() == [1, 2]
    assert table["accuracy"].tolist() == [0.75, 0.8]
    assert table["lowest_language"].tolist() == pytest.approx([0.74, 0.79])
    assert table["by_epoch"].tolist() == ["0.750 0.500", "0.700 0.800 0.600"]


def test_only_a_finished_run_with_these_settings_is_listed(tmp_path):
    done = finish(tmp_path / "a", 1e-4, [0.7])
    with pytest.raises(runs.RunError, match=r"learning_rate=0\.0001: give these"):
        settings.add(done | {"learning_rate": 5e-5}, tmp_path)
    with pytest.raises(runs.RunError, match="no finished fine-tuning"):
        settings.add(done | {"runs_root": str(tmp_path / "b")}, tmp_path)
