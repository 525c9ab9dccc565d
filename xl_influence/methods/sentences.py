"""One sentence on each table of methods, and the numbers of these tables, formatted for prose."""

from __future__ import annotations

import pandas as pd

from ..paper import HOLDS
from ..prose import interval, join_phrases, percent, say_share
from .catalogue import METHODS, PAPER, find_kind
from .language_leakage import LANGUAGE, TRANSLATION
from .lengths import PLAIN

NONE = "–"  # in place of a missing number
SLUGS = {"other languages": "others", "planted": "planted", "own translation": "own"}
SLUGS["agreement"] = "agreement"
ONE_LANGUAGE = "This run has one language, so nothing can come from other languages."
SHOWN_FRACTION, SHOWN_K = 0.1, 1  # of `say_nearest` and of `format_leakage_numbers`


def say_methods(table: pd.DataFrame) -> str:
    """Say how much the share from other languages depends on the method.

    `table` comes from `compare`.
    """
    k = table.loc[table["measure"] == "other languages", "k"].min()
    rows = table[(table["measure"] == "other languages") & (table["k"] == k)].set_index("method")
    if rows["chance"].max() == 0:
        return ONE_LANGUAGE
    rows = rows[[find_kind(name) != "control" for name in rows.index]]
    least, most, paper = rows["value"].idxmin(), rows["value"].idxmax(), rows.loc[PAPER]
    text = (
        f"With the paper's cosine, {say_share(paper)} of the top {k} come from other languages; "
        f"chance is {percent(paper['chance'])}."
    )
    if len(rows) == 1:
        return f"{text} No other method can be computed from this run."
    if len(rows) == 2:
        (other,) = set(rows.index) - {PAPER}
        return f"{text} One other method, {other}, gives {say_share(rows.loc[other])}."
    n_layers = len(set(rows.index) - set(METHODS))
    return (
        f"{text} Across {_counted(len(rows) - n_layers, n_layers)}, the share lies between "
        f"{percent(rows.loc[least, 'value'])} ({least}) and {percent(rows.loc[most, 'value'])} "
        f"({most})."
    )


def say_agreement(counts: pd.DataFrame) -> str:
    """Say on how many of the paper's answers all methods agree, and how many methods these are.

    `counts` comes from `count_answers`.
    """
    asked = counts[counts["by_cosine"] != HOLDS[-1]]
    if asked.empty:
        return "This run can test none of the paper's answers."
    text = f"This run can test {len(asked)} of the paper's {len(counts)} answers"
    others = asked["of"] + asked["of_layers"]
    if others.max() == 0:
        return f"{text}, and only with the cosine."
    compared = others > 0
    agreed = (asked["same"] + asked["same_layers"] == others) & compared
    text += f", {compared.sum()} of them also with "
    if others.max() == 1:
        return f"{text}one other method, which gives the cosine's verdict on {agreed.sum()}."
    return (
        f"{text}up to {_counted(asked['of'].max(), asked['of_layers'].max(), 'other ')}. On "
        f"{agreed.sum()} of these {compared.sum()}, all of them give the cosine's verdict."
    )


def say_long_gradients(table: pd.DataFrame) -> str:
    """Say how many of the most helpful samples have the longest gradients, by two methods.

    `table` comes from `measure_long_gradients`.
    """
    if table.empty:
        return "This run cannot compute the dot product, so we cannot tell."
    rows = table.set_index("method")
    plain, cosine = rows.loc[PLAIN], rows.loc[PAPER]
    apart = plain["ci_low"] > cosine["ci_high"] or plain["ci_high"] < cosine["ci_low"]
    return (
        f"Of the {plain['k']:.0f} most helpful training samples, {say_share(plain)} by the dot "
        f"product and {say_share(cosine)} by the cosine are among the {percent(plain['chance'])} "
        f"with the longest gradients. Chance is {percent(plain['chance'])}; "
        f"{plain['test_samples']:.0f} test samples."
        f"{'' if apart else ' We cannot tell whether the two differ.'}"
    )


def format_method_numbers(table: pd.DataFrame) -> dict[str, str]:
    """Write every method's values, by keys such as `others_10_token_overlap`.

    Methods are those of `METHODS` and 'chance'; a dash stands for a missing value.

    Parameters
    ----------
    table : pandas.DataFrame
        From `compare`.
    """
    found = {}
    places = [("other languages", 10), ("other languages", 100)]
    places += [(measure, -1) for measure in list(SLUGS)[1:]]
    for measure, k in places:
        rows = table[table["measure"] == measure]
        rows = (rows if k < 0 else rows[rows["k"] == k]).set_index("method")
        start = SLUGS[measure] + (f"_{k}" if k > 0 else "")
        write = percent if measure in ("other languages", "planted") else "{:.2f}".format
        for name in METHODS:
            text = NONE
            if name in rows.index:
                text = _value(rows.loc[name], write is percent)
            found[f"{start}_{_key(name)}"] = text
        found[f"{start}_chance"] = write(rows["chance"].mean()) if len(rows) else NONE
    return found


def say_same_label(label_share: pd.DataFrame, pools: pd.DataFrame | None) -> str:
    """Say how much of the top k has the test sample's label, and what is left within it.

    Parameters
    ----------
    label_share : pandas.DataFrame
        From `labels.measure_label_share`.
    pools : pandas.DataFrame, optional
        From `labels.compare_pools`; None if a label has too few samples.
    """
    first = label_share[(label_share["test_lang"] == "all") & (label_share["sign"] == "positive")]
    row = first.iloc[0]
    text = (
        f"{say_share(row)} of the helpful samples have the test sample's label; chance is "
        f"{percent(row['chance'])}."
    )
    if pools is None:
        return f"{text} A label has too few training samples for a top k of its own."
    rows = pools[
        (pools["test_lang"] == "all")
        & (pools["sign"] == "positive")
        & (pools["what"] == "other languages")
    ].set_index("pool")
    whole, within = rows.loc["all samples"], rows.loc["same label"]
    if whole["chance"] == 0:
        return text  # there is one language
    return (
        f"{text} Of the helpful samples, {say_share(whole)} come from other languages, and "
        f"{say_share(within)} if only samples with that label are ranked; chance is "
        f"{percent(whole['chance'])} and {percent(within['chance'])}."
    )


def say_without_language(table: pd.DataFrame) -> str:
    """Say what changes if the mean gradient of each language is taken out.

    `table` comes from `compare`, over the values of `remove_language`.
    """
    rows = table[table["measure"] == "other languages"]
    rows = rows[rows["k"] == rows["k"].min()].set_index("method")
    names = (f"{PAPER}, language out, both", f"{PAPER}, language out")
    name = next((each for each in names if each in rows.index), None)
    if name is None:
        return "The languages' mean gradients cannot be taken out: a language has a single sample."
    if rows["chance"].max() == 0:
        return ONE_LANGUAGE
    before, after = rows.loc[PAPER], rows.loc[name]
    text = (
        f"Without the languages' mean gradients, the share of other languages in the top "
        f"{before['k']} goes from {say_share(before)} to {say_share(after)}; chance is "
        f"{percent(before['chance'])}"
    )
    own = table[table["measure"] == "own translation"].set_index("method")
    if own.empty:
        return f"{text}."
    return (
        f"{text}. The reciprocal rank of the test sample's own translation goes from "
        f"{_value(own.loc[PAPER], False)} to {_value(own.loc[name], False)}; chance is "
        f"{own.loc[PAPER, 'chance']:.2f}."
    )


def say_nearest(table: pd.DataFrame) -> str:
    """Say what a search among the nearest samples finds, in the test language and in others.

    `table` comes from `measure_nearest`.
    """
    rows = table[(table["sign"] == "positive") & (table["fraction"] == SHOWN_FRACTION)]
    parts = []
    for name, part in rows.groupby("similarity", sort=False):
        shares = part.set_index("what")
        own, other = (f"found, {source}" for source in ("own language", "other languages"))
        if {own, other} <= set(shares.index):
            parts.append(
                f"by {name}, {say_share(shares.loc[own])} and {say_share(shares.loc[other])}"
            )
    if not parts:
        return "The helpful samples are all in the test language, or all in other languages."
    return (
        f"The nearest {percent(SHOWN_FRACTION)} of the training samples contain the following "
        f"shares of the helpful samples in the test language and in other languages: "
        f"{join_phrases(parts, '; ', '; and ')}. Chance is {percent(SHOWN_FRACTION)}."
    )


def format_pool_numbers(pools: pd.DataFrame | None) -> dict[str, str]:
    """Write the shares among all training samples and within the label.

    Keys: `cross_all`, `cross_label`, `repeat_all`, `repeat_label` for helpful samples, the same
    after `harm_` for harmful ones, and each with `_chance`.

    Parameters
    ----------
    pools : pandas.DataFrame, optional
        From `labels.compare_pools`; None if a label has too few samples, which gives dashes.
    """
    keys, found = ["sign", "what", "pool"], {}
    rows = pd.DataFrame(columns=keys) if pools is None else pools[pools["test_lang"] == "all"]
    rows = rows.set_index(keys)
    for sign, begin in (("positive", ""), ("negative", "harm_")):
        for what, start in (("other languages", "cross"), ("reinforcing", "repeat")):
            for pool, end in (("all samples", "all"), ("same label", "label")):
                key, place = f"{begin}{start}_{end}", (sign, what, pool)
                row = rows.loc[place] if place in rows.index else None
                found[key] = NONE if row is None else say_share(row)
                found[f"{key}_chance"] = NONE if row is None else percent(row["chance"])
    return found


def format_matrix_numbers(correlations: pd.DataFrame) -> dict[str, str]:
    """Write the correlations of matrices, by keys such as `matrix_first_token`.

    Parameters
    ----------
    correlations : pandas.DataFrame
        From `correlate_matrices`.
    """
    similar = [name for name in METHODS if find_kind(name) in ("representations", "words")]
    found = {f"matrix_{_key(name)}": NONE for name in similar}
    for row in correlations.dropna().itertuples():
        text = f"{row.correlation:+.2f} (p = {row.p:.3f})".replace("-", "\u2212")
        found[f"matrix_{_key(row.matrix)}"] = text
    return found


def format_leakage_numbers(table: pd.DataFrame) -> dict[str, str]:
    """Write what is at the top over all parameters: `leak_own`, `leak_language` and chances.

    Parameters
    ----------
    table : pandas.DataFrame
        From `measure_leakage`; may be empty.
    """
    names = {TRANSLATION: "leak_own", LANGUAGE: "leak_language"}
    found = dict.fromkeys([*names.values(), *(f"{key}_chance" for key in names.values())], NONE)
    found["leak_samples"] = NONE
    if table.empty:
        return found
    where = (table["group"] == "all parameters") & (table["checkpoint"] == 0)
    rows = table[where & (table["k"] == SHOWN_K)].set_index("what")
    for what, key in names.items():
        found[key] = say_share(rows.loc[what])
        found[f"{key}_chance"] = f"{100 * rows.loc[what, 'chance']:.1f}\u00a0%"
    found["leak_samples"] = str(int(rows["test_samples"].iloc[0]))
    return found


def _key(name: str) -> str:
    """Write a method's name as a part of a key."""
    return name.lower().replace(" ", "_")


def _counted(methods: int, layers: int, kind: str = "") -> str:
    """Count methods, and single layers if there are any."""
    text = f"{methods} {kind}{'method' if methods == 1 else 'methods'}"
    if not layers:
        return text
    return f"{text} and {layers} {'single layer' if layers == 1 else 'single layers'}"


def _value(row: pd.Series, is_share: bool) -> str:
    """Write a value with its interval in brackets."""
    if is_share:
        ends = "" if pd.isna(row["ci_low"]) else f" ({interval(row['ci_low'], row['ci_high'])})"
        return f"{percent(row['value'])}{ends}"
    value, low, high = (number(row[name]) for name in ("value", "ci_low", "ci_high"))
    return value if pd.isna(row["ci_low"]) else f"{value} ({low} to {high})"


def number(value: float) -> str:
    """Write a number, `value`, with two decimals and a real minus; zero has none."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\u2212")
