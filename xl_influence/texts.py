"""The texts of a published run's samples: not published, but put back where the data sets are at hand."""

from . import data, runs

TEXTS = ("text_a", "text_b")


def attach(params, manifest, *frames):
    """The frames with `text_a` and `text_b`, from the data that `params` name.

    Raises
    ------
    RunError
        The data are not those that the run was computed from: their fingerprints differ.
    """
    samples = data.load(params)
    found, wanted = data.fingerprint(samples), manifest["data_fingerprint"]
    if found != wanted:
        raise runs.RunError(
            f"data_root {params['data_root'] or 'hub'}: the samples drawn from it have the fingerprint {found}, those of the "
            f"published run {wanted}; leave data_root empty to see its pages without texts"
        )
    known = {row.uid: (row.text_a, row.text_b) for split in ("train", "test") for row in samples[split].itertuples()}
    return [_with_texts(frame, known) for frame in frames]


def _with_texts(frame, known):
    pairs = [known[uid] for uid in frame["uid"]]
    return frame.assign(**{name: [pair[side] for pair in pairs] for side, name in enumerate(TEXTS)})
