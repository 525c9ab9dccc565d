"""How confidence changes when influential samples are removed (section 6, Appendix A).

The analyses of the table `removal`, which `retraining.retrain` makes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from . import runs, tables
from .retraining import retrain
from .sections import Parameters
from .sharing import BOOTSTRAP, SIGNS, Bootstrap, interval_of_mean, summary


def find(params: Parameters, progress: bool = True) -> pd.DataFrame | None:
    """Read the table `removal` of a published run (None if it has none), or else `retrain`.

    Parameters
    ----------
    params : dict
        Parameters of the run.
    progress : bool
        Whether to show a progress bar.
    """
    if not runs.is_published(runs.find_folder(params)):
        return retrain(params, progress)
    return tables.read_all(params).get("removal")


def measure_change(removal: pd.DataFrame, *, bootstrap: Bootstrap = BOOTSTRAP) -> pd.DataFrame:
    """Average the change of confidence by what was removed (Figures 1, 6 to 8).

    We average over seeds, then over test samples, whose items are resampled.

    Parameters
    ----------
    removal : pandas.DataFrame
        From `retrain`.
    bootstrap : Bootstrap
        How the intervals are computed.

    Returns
    -------
    pandas.DataFrame
        `sign`, `strategy`, `k`, `change` (of probability, −1 to 1), `ci_low`, `ci_high` (NaN for
        fewer than `sharing.FEWEST` items), `test_samples`, `items`.
    """
    each = measure_change_by_sample(removal)
    return summary(each, ["sign", "strategy", "k"], bootstrap, value="change")


def measure_change_by_sample(removal: pd.DataFrame) -> pd.DataFrame:
    """Average the change of confidence over seeds, for each test sample.

    `measure_change` is the mean of this table.

    Parameters
    ----------
    removal : pandas.DataFrame
        From `retrain`.

    Returns
    -------
    pandas.DataFrame
        `sign`, `strategy`, `k`, `test_uid`, `item`, `change`.
    """
    table = removal.assign(change=removal["confidence_after"] - removal["confidence_before"])
    keys = ["sign", "strategy", "k", "test_uid", "item"]
    return table.groupby(keys, sort=False)["change"].mean().reset_index()


def compare_with_controls(
    removal: pd.DataFrame, *, bootstrap: Bootstrap = BOOTSTRAP
) -> pd.DataFrame:
    """Compare removing the top k with each control, for the same test samples.

    Parameters
    ----------
    removal, bootstrap
        As for `measure_change`.

    Returns
    -------
    pandas.DataFrame
        `sign`, `strategy` (the control), `k`, `difference` (change by the top k minus change by the
        control), `ci_low`, `ci_high`, `test_samples`, `items`, `beyond` (whether there is an
        interval and it lies on the expected side of zero: below for positive samples).
    """
    each = compare_with_controls_by_sample(removal)
    table = summary(each, ["sign", "strategy", "k"], bootstrap, value="difference")
    below, above = table["ci_high"] < 0, table["ci_low"] > 0
    return table.assign(beyond=np.where(table["sign"] == "positive", below, above))


def compare_with_controls_by_sample(removal: pd.DataFrame) -> pd.DataFrame:
    """Compare removing the top k with each control, test sample by test sample.

    `compare_with_controls` is the mean of this table.

    Parameters
    ----------
    removal
        As for `measure_change`.

    Returns
    -------
    pandas.DataFrame
        `sign`, `strategy`, `k`, `test_uid`, `item`, `change`, `difference`.
    """
    each, keys = measure_change_by_sample(removal), ["sign", "k", "test_uid"]
    top = each[each["strategy"] == "top"].set_index(keys)["change"]
    rest = each[each["strategy"] != "top"]
    pairs = list(rest[keys].itertuples(index=False, name=None))
    return rest.assign(difference=top.loc[pairs].to_numpy() - rest["change"])


def find_level(removal: pd.DataFrame, *, bootstrap: Bootstrap = BOOTSTRAP) -> dict[str, int | None]:
    """Find the k at which the curve levels off: no larger k changes confidence further.

    A larger k changes confidence further if the interval of the paired difference between the two
    lies on the expected side of zero. The paper judges by eye: 'starts to level off' (section 6),
    'the smallest possible value of k for which we observe consistent change' (Appendix A).

    Parameters
    ----------
    removal, bootstrap
        As for `measure_change`.

    Returns
    -------
    dict
        Sign → k; None if no k changes confidence on the expected side, or if there are too few
        items for an interval.
    """
    found: dict[str, int | None] = {}
    each = measure_change_by_sample(removal)
    for sign, direction in SIGNS.items():
        part = each[(each["sign"] == sign) & (each["strategy"] == "top")]
        wide = part.pivot(index=["test_uid", "item"], columns="k", values="change")
        found[sign] = _first_level(-direction * wide, bootstrap)  # positive: as expected
    return found


def _first_level(effect: pd.DataFrame, bootstrap: Bootstrap) -> int | None:
    """Return the first column k that is above zero and that no larger column is above."""
    items = effect.index.get_level_values("item")

    def is_above_zero(values: pd.Series) -> bool:
        return interval_of_mean(values, bootstrap, items)[0] > 0

    for k in effect.columns:
        larger = [more for more in effect.columns if more > k]
        if is_above_zero(effect[k]) and not any(
            is_above_zero(effect[more] - effect[k]) for more in larger
        ):
            return int(k)
    return None
