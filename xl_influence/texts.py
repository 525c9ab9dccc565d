"""The texts of samples that lie without them: published runs, and runs made from a prepared folder.

They are put back where the data sets are at hand, and only from the same data.
"""

from . import data, runs

TEXTS = ["text_a", "text_b"]


def drawn(params, manifest):
    """The samples that `params` draw, with their texts: dict as of `data.load`.

    Raises
    ------
    RunError
        They are not those that the run of this manifest was made from: the fingerprints differ.
    """
    samples = data.load(params | {"prepared": ""})
    found, wanted = data.fingerprint(samples), manifest["data_fingerprint"]
    if found != wanted:
        raise runs.RunError(
            f"data_root {params['data_root'] or '(the hub)'}: the run was made from other data (fingerprint {wanted}, that of "
            f"the samples drawn here is {found}). Leave data_root empty to see a published run without texts"
        )
    return samples


def put(frame, samples):
    """The frame with the texts of these samples, after its labels; the samples of its own split, since uids repeat."""
    found = samples.set_index("uid").loc[frame["uid"], TEXTS].reset_index(drop=True)
    frame = frame.reset_index(drop=True)
    place = frame.columns.get_loc("label") + 1
    for offset, column in enumerate(found):
        frame.insert(place + offset, column, found[column])
    return frame
