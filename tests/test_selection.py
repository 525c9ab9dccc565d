"""Test samples are those that the model labels correctly; only the smoke study takes others."""

import pandas as pd
import pytest

from xl_influence import params, selection


def make_pool(correct):
    rows = [
        {"uid": f"{lang}{i}", "lang": lang, "item": i, "label": 0, "correct": ok, "place": i}
        for lang in ("en", "de")
        for i, ok in enumerate(correct)
    ]
    return pd.DataFrame(rows)


def choose(study, correct):
    given = {"study": study, "task": "marc", "languages": ["en", "de"], "test_size": 2}
    return list(selection.choose_correct(params.merge(given), make_pool(correct))["uid"])


def test_only_the_smoke_study_takes_samples_that_are_labelled_wrongly():
    assert choose("demo-small", [False, True, True]) == ["en1", "en2", "de1", "de2"]
    with pytest.raises(selection.SelectionError, match="in en the model labels 1 of 3 test rows"):
        choose("demo-small", [False, True, False])  # its encoder is random too, but trained
    assert choose("smoke", [False, True, False]) == ["en1", "en0", "de1", "de0"]
