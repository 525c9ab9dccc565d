"""Language taken out of influence: centred gradients, computed from the products that we have.

Gradients of one language share a direction, whatever their text. Subtract from each training
gradient g the mean m of its language's training gradients, and from each test gradient h the mean n
of its language's test gradients: (h − n)·(g − m) = h·g − h·m − n·g + n·m. Each of the four terms is
a mean of dot products within one pair of languages. So this is double-centring the blocks of the
matrix of dot products, and takes no new pass. The same holds for gradients of length 1, whose dot
products are the cosines, and for sums over checkpoints.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..sharing import SharingError
from .base import MethodInput, NotAvailableError
from .gradients import cosine, dot_product

BY = {"language": ("lang",), "language + label": ("lang", "label")}
ENDING = {"training": "", "both": ", both"}  # of a name, by side
SIDES = {"training": False, "both": True}  # which gradients are centred → test gradients too?


def centre(values: np.ndarray, train: pd.Series, test: pd.Series | None = None) -> np.ndarray:
    """Centre products of gradients by block, as if the gradients had been centred.

    Parameters
    ----------
    values : numpy.ndarray
        Dot products or cosines, (..., test, train).
    train : pandas.Series
        The block of each training sample, such as its language.
    test : pandas.Series, optional
        The block of each test sample; by default only the training gradients are centred.

    Returns
    -------
    numpy.ndarray
        (..., test, train). For each test sample, the mean over each block of training samples is
        zero; with `test`, so is the mean over each block of test samples.

    Raises
    ------
    SharingError
        A block has a single sample: its centred gradient would be zero.

    Examples
    --------
    >>> products = np.array([[3.0, 1.0, 8.0, 4.0]])
    >>> centre(products, pd.Series(["en", "en", "de", "de"])).tolist()
    [[1.0, -1.0, 2.0, -2.0]]
    """
    values = _centre_last(np.asarray(values, dtype=np.float64), train, "training")
    if test is None:
        return values
    return _centre_last(values.swapaxes(-1, -2), test, "test").swapaxes(-1, -2)


def _centre_last(values: np.ndarray, blocks: pd.Series, side: str) -> np.ndarray:
    """Subtract the mean of each block along the last axis."""
    codes, names = pd.factorize(blocks)
    counts = np.bincount(codes)
    if counts.min() < 2:
        raise SharingError(
            f"one {side} sample alone in {names[counts.argmin()]!r}: allowed are two or more, "
            "since one sample minus its own mean is zero"
        )
    one_hot = np.eye(len(counts))[codes]  # (sample, block)
    means = values @ one_hot / counts  # (..., block)
    return values - means[..., codes]


def compute_without_language(
    given: MethodInput, by: str, side: str, *, normalize: bool = True
) -> np.ndarray:
    """Compute influence with the language, or language and label, taken out of the gradients.

    Parameters
    ----------
    given : MethodInput
        The run.
    by : str
        'language' or 'language + label'.
    side : str
        'training': only training gradients are centred; 'both': test gradients too.
    normalize : bool
        True: gradients have length 1 before they are centred; False: plain dot products.

    Returns
    -------
    numpy.ndarray
        (test, train). Centred gradients are not scaled to length 1 again, for which products
        between training samples would be needed.

    Raises
    ------
    NotAvailableError
        A block has a single sample.
    ValueError
        `by` or `side` is unknown.
    """
    if by not in BY or side not in SIDES:
        raise ValueError(
            f"by={by!r}, side={side!r}: allowed are {', '.join(BY)}, and {', '.join(SIDES)}"
        )
    return _centred(cosine(given) if normalize else dot_product(given), given, by, side)


def _centred(values: np.ndarray, given: MethodInput, by: str, side: str) -> np.ndarray:
    """Centre the influence of a run (test, train), see `compute_without_language`."""
    blocks = [
        frame[list(BY[by])].astype(str).agg(" ".join, axis=1) for frame in (given.train, given.test)
    ]
    try:
        return centre(values, blocks[0], blocks[1] if SIDES[side] else None)
    except SharingError as error:
        raise NotAvailableError(str(error)) from error


def remove_language(given: MethodInput) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Compute influence as it is and with every choice of what to take out, as `compute_all` does.

    Parameters
    ----------
    given : MethodInput
        The run.

    Returns
    -------
    values : dict
        'cosine' and 'dot product', alone and as in 'cosine, language out' (of the training
        gradients) and 'cosine, language out, both' (of the test gradients too) → (test, train).
    reasons : dict
        Name → why it is not available, for all others.
    """
    values: dict[str, np.ndarray] = {}
    reasons: dict[str, str] = {}
    for name, compute in (("cosine", cosine), ("dot product", dot_product)):
        names = {f"{name}, {by} out{ENDING[side]}": (by, side) for by in BY for side in SIDES}
        try:
            values[name] = compute(given)
        except NotAvailableError as error:
            reasons |= dict.fromkeys([name, *names], str(error))
            continue
        for full, (by, side) in names.items():
            try:
                values[full] = _centred(values[name], given, by, side)
            except NotAvailableError as error:
                reasons[full] = str(error)
    return values, reasons
