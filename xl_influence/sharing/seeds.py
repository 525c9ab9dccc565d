"""The same table of several runs that differ in their seed."""

import pandas as pd

OF_A_RUN = {
    "ci_low",
    "ci_high",
    "chance",
    "test_samples",
    "items",
    "overlap",
    "in_top_k",
    "accuracy",
    "accuracy_seen",
}


def over_seeds(tables, value="share"):
    """How a share differs between seeds: what another training would find, which no interval of one run says.

    `tables`: the same table (`cross_language`, `share_by_k`, `reinforcement`, …) of each run, a list or a dict.

    Returns
    -------
    pandas.DataFrame
        The table's key columns, then `value` (mean over seeds), `lowest, highest`, `seeds` (their number; rows that only
        some runs have count those). Lowest and highest are the values found, not an interval.
    """
    table = pd.concat(tables.values() if isinstance(tables, dict) else tables, ignore_index=True)
    keys = [column for column in table if column != value and column not in OF_A_RUN]
    found = (
        table.groupby(keys, sort=False)[value].agg(["mean", "min", "max", "count"]).reset_index()
    )
    return found.rename(
        columns={"mean": value, "min": "lowest", "max": "highest", "count": "seeds"}
    )
