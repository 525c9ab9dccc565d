"""The paper and this run: its tables and claims (`paper.yaml`) beside the tables of a run.

A quantity is a function of the run's tables, a dict from name to DataFrame, that gives (value, low, high); low and high are
NaN for counts, which have no interval, and infinite where too few test samples stand behind them (`sharing.FEWEST`). It
gives None where the run does not have what it takes. Shares of several test
languages are averaged, their intervals combined as if test samples of different languages were independent.
"""

import functools
from importlib import resources

import numpy as np
import pandas as pd
import yaml

from . import runs
from .sharing import FEWEST

COLUMNS = ["claim", "section", "statement", "paper_value", "value", "ci_low", "ci_high", "holds"]
HOLDS = ("holds", "does not hold", "cannot be told")


@functools.cache
def reported():
    """`paper.yaml` as a dict: `tables`, `claims`."""
    return yaml.safe_load(resources.files(__package__).joinpath("paper.yaml").read_text(encoding="utf-8"))


def claims(task, tables):
    """The paper's claims on a task beside a run's values.

    `tables`: name → table of the run, those that there are; `<task>/cross_language` for other tasks, `manifest` the run's.

    Returns
    -------
    pandas.DataFrame
        `claim, section, statement, paper_value` (NaN where the paper gives none), `value, ci_low, ci_high`, `holds`: one of
        `HOLDS`. A claim about a threshold holds where the interval lies beyond it, does not where it lies on the other side,
        and cannot be told where the threshold is inside; a claim about a number holds where the number is in the interval.
    """
    rows = []
    for claim in reported()["claims"]:
        if task in claim["tasks"]:
            said = claim.get("paper", np.nan)
            said = said[task] if isinstance(said, dict) else said
            found = QUANTITIES[claim["quantity"]](tables, **claim.get("given", {}))
            value, low, high = found or (np.nan, np.nan, np.nan)
            holds = verdict(value, low, high, claim["expect"], said)
            low, high = (np.nan, np.nan) if np.isinf(low) else (low, high)
            rows.append([claim["id"], claim["section"], claim["statement"], said, value, low, high, holds])
    return pd.DataFrame(rows, columns=COLUMNS)


def verdict(value, low, high, expect, said):
    """One of `HOLDS`; `expect`: '> x', '< x', 'at least' or 'about' (`said`, the paper's value)."""
    yes, no, unknown = HOLDS
    if np.isnan(value) or np.isinf(low):
        return unknown
    low, high = (value, value) if np.isnan(low) else (low, high)
    if expect == "about":
        return yes if low - 1e-9 <= said <= high + 1e-9 else no
    sign, threshold = (">", said) if expect == "at least" else (expect[0], float(expect[1:]))
    if sign == "<":
        low, high, threshold = -high, -low, -threshold
    if low > threshold or (expect == "at least" and low >= threshold):
        return yes
    return no if high < threshold or low == high else unknown


def side_by_side(task, table, name):
    """A table of the paper beside this run's: languages or sign, `paper`, `this_run`; None where one of them has none."""
    said = reported()["tables"][name].get(task)
    if said is None or table is None:
        return None
    first, second, value = ("test_lang", "train_lang", "mean") if name == "mean_influence" else ("sign", "test_lang", "share")
    rows = [(a, b, number) for a, part in said.items() for b, number in part.items()]
    paper = pd.DataFrame(rows, columns=[first, second, "paper"])
    return paper.merge(table[[first, second, value]].rename(columns={value: "this_run"}), how="left")


def agreement(table):
    """Rank correlation (Spearman) of each row of `side_by_side`'s average influence: `test_lang, agreement`."""
    rows = [(lang, part["paper"].corr(part["this_run"], "spearman")) for lang, part in table.groupby("test_lang", sort=False)]
    return pd.DataFrame(rows, columns=["test_lang", "agreement"])


def dev_accuracy(tables):
    manifest = tables.get("manifest")
    if not manifest:
        return None
    return _wilson(runs.accuracy(manifest), manifest["rows"]["validation"])


def removal_change(tables, sign):
    return _largest_k(tables.get("removal_change"), "change", sign, "top")


def removal_control(tables, sign, strategy):
    return _largest_k(tables.get("removal_controls"), "difference", sign, strategy)


def cross_share(tables, sign):
    return _of(_where(tables.get("cross_language"), test_lang="all", sign=sign))


def own_beyond_chance(tables, sign):
    rows = _where(tables.get("cross_language"), test_lang="all", sign=sign)
    if rows is None:
        return None
    row = rows.iloc[0]
    return tuple(row["chance"] - row[name] for name in ("share", "ci_high", "ci_low"))


def cross_difference(tables, language, sign):
    rows = _where(tables.get("cross_language"), sign=sign)
    if rows is None or language not in set(rows["test_lang"]):
        return None
    rest = rows[~rows["test_lang"].isin(["all", language])]
    return _minus(_of(rows[rows["test_lang"] == language]), _of(rest))


def first_is_own(tables, sign):
    largest = _largest(tables, sign)
    return None if largest is None else _count(largest == largest.index)


def first_is(tables, language, sign):
    largest = _largest(tables, sign)
    return None if largest is None else _count(largest == language)


def given_to_others(tables, language, sign):
    rows = _summed(tables, sign)
    return None if rows is None else _of(rows[(rows["train_lang"] == language) & (rows["test_lang"] != language)])


def given_beyond_rest(tables, language, sign):
    rows = _summed(tables, sign)
    if rows is None:
        return None
    rows = rows[(rows["test_lang"] != language) & (rows["test_lang"] != rows["train_lang"])]
    return _minus(*(_of(rows[(rows["train_lang"] == language) == its]) for its in (True, False)))


def rely_on_each_other(tables, languages, sign):
    rows = _summed(tables, sign)
    if rows is None:
        return None
    others = rows[rows["test_lang"] != rows["train_lang"]]
    first = others.loc[others.groupby("test_lang")["share"].idxmax()].set_index("test_lang")["train_lang"]
    a, b = languages
    return _count(pd.Series([first[a] == b, first[b] == a]))


def script_share(tables, language, sign):
    return _of(_where(tables.get("scripts"), train_lang=language, sign=sign))


def highest_mean(tables, language):
    table = tables.get("mean_influence")
    if table is None:
        return None
    return _count(table.loc[table.groupby("test_lang")["mean"].idxmax(), "train_lang"] == language)


def own_beyond_other_tasks(tables, sign):
    others = [cross_share({"cross_language": tables.get(f"{task}/cross_language")}, sign) for task in ("xnli", "pawsx")]
    mine = cross_share(tables, sign)
    return None if mine is None or None in others else _minus(_pooled(*zip(*others, strict=True)), mine)


def reinforcing(tables, sign):
    return _of(_where(tables.get("reinforcement"), sign=sign))


def own_change(tables, first):
    table = tables.get("composition")
    if table is None or table["checkpoint"].max() <= first:
        return None
    own = table[(table["test_lang"] == table["train_lang"]) & (table["sign"] == "positive")]
    return _minus(*(_of(own[own["checkpoint"] == epoch]) for epoch in (table["checkpoint"].max(), first)))


def epochs_that_differ(tables):
    table = tables.get("epoch_tests")
    return None if table is None or table.empty else _count(table["p_adjusted"] < 0.05)


def zero_shot(tables, language, what, sign):
    return _of(_where(tables.get("zero_shot"), language=language, what=what, sign=sign))


def imbalance_change(tables, sign):
    rows = _where(tables.get("imbalance"), sign=sign)
    if rows is None or rows["percent"].max() == 0:
        return None
    return _minus(*(_of(rows[rows["percent"] == percent]) for percent in (rows["percent"].max(), 0)))


def imbalance_others(tables, sign, but):
    rows = _where(tables.get("imbalance"), sign=sign, percent=100)
    if rows is None:
        return None
    found = _of(rows[rows["language"] != but])
    return found and (1 - found[0], 1 - found[2], 1 - found[1])


QUANTITIES = {
    function.__name__: function
    for function in (
        dev_accuracy, removal_change, removal_control, cross_share, own_beyond_chance, cross_difference, first_is_own,
        first_is, given_to_others, given_beyond_rest, rely_on_each_other, script_share, highest_mean,
        own_beyond_other_tasks, reinforcing, own_change, epochs_that_differ, zero_shot, imbalance_change, imbalance_others,
    )
}  # fmt: skip


def _where(table, **wanted):
    """The rows with these values; None where there is no table or no such row."""
    for column, value in wanted.items():
        table = None if table is None else table[table[column] == value]
    return None if table is None or table.empty else table


def _of(rows, value="share"):
    """(mean, low, high) over rows with intervals."""
    if rows is None or rows.empty or rows[value].isna().any():
        return None
    if "test_samples" in rows and rows["test_samples"].sum() < FEWEST:
        return rows[value].mean(), -np.inf, np.inf
    return _pooled(rows[value], rows["ci_low"], rows["ci_high"])


def _pooled(value, low, high):
    value, low, high = map(np.asarray, (value, low, high))
    below, above = (np.sqrt(((value - low) ** 2).sum()), np.sqrt(((high - value) ** 2).sum()))
    return value.mean(), value.mean() - below / len(value), value.mean() + above / len(value)


def _minus(a, b):
    if a is None or b is None:
        return None
    down, up = np.hypot(a[0] - a[1], b[2] - b[0]), np.hypot(a[2] - a[0], b[0] - b[1])
    return a[0] - b[0], a[0] - b[0] - down, a[0] - b[0] + up


def _count(right):
    return float(np.mean(right)), np.nan, np.nan


def _summed(tables, sign):
    return _where(tables.get("composition"), sign=sign, checkpoint=0)


def _largest(tables, sign):
    """Test language → the language with the largest share."""
    rows = _summed(tables, sign)
    return None if rows is None else rows.loc[rows.groupby("test_lang")["share"].idxmax()].set_index("test_lang")["train_lang"]


def _largest_k(table, value, sign, strategy):
    rows = _where(table, sign=sign, strategy=strategy)
    return None if rows is None else _of(rows[rows["k"] == rows["k"].max()], value)


def _wilson(share, n, z=1.96):
    """Wilson's interval of a proportion."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return share, middle - half, middle + half
