"""How a study grows, from measurements small enough to check by hand."""

import json

import pytest

from xl_influence import charts, measurements, params, scale

GB = 2**30


@pytest.fixture
def measured(tmp_path):
    rows = [
        {"step": step, "n_train": n, "seconds": seconds * n, "peak_gb": 0.5 + n / 1000}
        for step, seconds in ((scale.FILL, 9), ("04 share by k", 2), ("04 scripts", 1))
        for n in (100, 200)
    ]
    found = {"machine": {"processor": "x", "cores": 1}, "rows": rows}
    found["cube"] = {"checkpoints": 2, "groups": 4, "tests": 50}
    (tmp_path / "scale.json").write_text(json.dumps(found))
    return scale.read(tmp_path / "scale.json")


def test_time_adds_up_and_memory_does_not(measured):
    table = scale.sum_by_notebook(measured).set_index(["notebook", "n_train"])
    assert table.loc[("04", 200), "seconds"] == 600
    assert table.loc[("04", 200), "peak_gb"] == pytest.approx(0.7)
    grown = scale.compute_growth(measured).set_index("step")
    assert grown.loc["04 scripts", "times_seconds"] == 2
    assert grown.loc["04 scripts", "times_gb"] == pytest.approx(0.7 / 0.6)
    assert (
        charts.plot_scale(scale.sum_by_notebook(measured)).to_dict()["columns"] == 2
    )  # time, memory


def test_the_analyses_of_a_large_study_grow_with_its_pairs(measured):
    large = scale.Large(n_train=2000, n_test=100, epochs=4, keep="groups")
    table = scale.plan_study(large, measurements.read_results(device="cuda"), measured)
    table = table.set_index("step")
    # 600 s for 200 × 50 × 2; here 2000 × 100 × 4: 40 times as many
    analyses = table.loc["analyses, notebooks 02 to 10"]
    assert analyses["hours"] == pytest.approx(600 * 40 / 3600)
    assert analyses["memory_gb"] == pytest.approx(0.5 + 2)
    assert table.loc["score cube, keep=groups", "disk_gb"] == 4 * 14 * 4 * 2000 * 100 / GB


def test_influence_takes_the_measured_seconds_at_the_papers_scale(measured):
    """One GPU, one tile and one checkpoint, 10,000 × 125: what was measured."""
    machine, rows = card = measurements.read_results(device="cuda")
    large = scale.Large(n_train=10_000, n_test=125, epochs=1, devices=1)
    assert scale.count_tiles(large, machine["memory_gb"] * GB) == 1
    table = scale.plan_study(large, card, measured).set_index("step")
    found = table.loc["influence, checkpoints: 1", "hours"] * 3600
    paper = rows[(rows["what"] == large.way) & (rows["n_train"] == 10_000)]
    extra = 384 * 125 / 10_000 / (384 + 250)  # the test gradients, which were measured too
    assert found == pytest.approx(paper["seconds"].iloc[0] * (1 + extra), rel=1e-6)


def test_a_million_samples_take_hours_on_eight_gpus(measured):
    table = scale.plan_study(scale.Large(), measurements.read_results(device="cuda"), measured)
    hours = table.set_index("step").loc["influence, checkpoints: 3", "hours"]
    assert 0.5 < hours < 24
    disk = table.set_index("step").loc["score cube, keep=checkpoints", "disk_gb"]
    assert disk == pytest.approx(3 * 4 * 1e10 / GB)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["n_train=many"], "n_train=many: allowed is a whole number from 1"),
        (["n_train=0"], "n_train=0: allowed is a whole number from 1"),
        (["keep=all"], "keep='all': allowed are groups, checkpoints, sum"),
        (["way=abacus"], "way='abacus': allowed are xl-influence"),
        (["samples=3"], "'samples': allowed are n_train, n_test, length"),
    ],
)
def test_wrong_words_on_the_command_line_say_what_is_allowed(words, message, measured, monkeypatch):
    monkeypatch.setattr(scale, "read", lambda: measured)
    with pytest.raises(params.ParameterError) as error:
        scale.main(words)
    assert message in str(error.value)


def test_the_command_line_prints_the_table(measured, monkeypatch):
    monkeypatch.setattr(scale, "read", lambda: measured)
    text = scale.main(["n_train=1,000,000", "devices=8"])
    assert "score cube, keep=checkpoints" in text and len(text.splitlines()) == 5


def test_what_was_measured_is_linear():
    """The repository's own numbers: from 20,000 to 200,000, and at most 3 GB."""
    table = scale.read()
    assert set(table["n_train"]) == {20_000, 50_000, 100_000, 200_000}
    assert table["peak_gb"].max() < 3
    grown = scale.compute_growth(table)
    assert grown["times_gb"].max() < 10
    long = grown[grown["seconds"] >= 1]  # what is shorter is mostly start
    assert len(long) >= 15 and long["times_seconds"].max() < 15
