"""What samples have in common, by hand."""

import pytest

from xl_influence import overlap


def test_tokens_are_counted_and_compared_by_hand():
    counts = overlap.count([[0, 1, 1], [1, 2], [], [3]], 5)
    assert counts.toarray().tolist() == [
        [1, 2, 0, 0, 0],
        [0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0, 0, 0, 1, 0],
    ]
    found = overlap.jaccard(counts[:2], counts)
    assert found[0] == pytest.approx([1, 1 / 3, 0, 0])  # of 0, 1 and 2 both have 1
    assert found[1] == pytest.approx([1 / 3, 1, 0, 0])
    assert overlap.jaccard(counts[2:3], counts[2:3]).tolist() == [[0]]  # two without tokens
    assert overlap.count([[], []], 0).shape == (2, 0)


def test_a_number_that_is_no_token_is_refused():
    with pytest.raises(ValueError, match="exceeds"):
        overlap.count([[0], [5]], 5)
