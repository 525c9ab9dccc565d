"""Which notebook needs which, and which runs each compares, for Snakefile and book."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import own_files, params, runs, sizes
from .manifest import check_data
from .sections import Data, Parameters

PER_TASK = {  # notebook → the notebooks whose results it needs
    "01-data-and-fine-tuning": [],
    "02-influence": ["01-data-and-fine-tuning"],
    "03-quality": ["02-influence"],
    "04-cross-language-influence": ["02-influence"],
    "05-reinforcing-or-complementary": ["02-influence"],
    "06-sharing-dynamics": ["02-influence"],
    "07-zero-shot": ["02-influence"],
    "08-imbalance": ["02-influence"],
    "09-the-paper-and-this-run": [  # reads only tables
        "03-quality",
        "04-cross-language-influence",
        "05-reinforcing-or-complementary",
        "06-sharing-dynamics",
        "07-zero-shot",
        "08-imbalance",
    ],
    "10-where-in-the-network": ["02-influence"],
    "14-methods": ["02-influence"],
    "15-language-and-label": ["02-influence"],
}
TRAINED_AGAIN = ("07-zero-shot", "08-imbalance")  # these compare models, so need more than one
ONCE = (
    "00-the-answer",
    "11-how-fast",
    "12-what-ran",
    "16-predicting-retraining",
    "17-who-hurts-whom",
)
MEASURED = {  # notebook → the folder of the files that it shows, left by commands of their own
    "16-predicting-retraining": "results/predicting-retraining",
    "17-who-hurts-whom": "results/who-hurts-whom",
}
ASK = "13-ask"  # of one run, see `is_asked`


def is_asked(merged: Data) -> bool:
    """Whether the book has a page of `ASK` about a run: only a run of the demo's first task.

    Published runs have no checkpoints, which `ASK` needs.

    Parameters
    ----------
    merged
        The run's parameters.
    """
    is_first = merged["task"] == "xnli" and merged["variant"] == "base"
    return is_first and merged["data"] == "demo" and not runs.is_published(runs.find_folder(merged))


def find_compared(merged: Parameters, source: Mapping[str, str]) -> dict[str, list[Parameters]]:
    """The runs whose influence each notebook compares, in this study or a smaller one.

    Parameters
    ----------
    merged, source
        As `params.merge_with_source` returns them.

    Returns
    -------
    dict
        Notebook → parameters of its runs.
    """
    retrained = params.switch_study(merged, source, "removal_study")
    other = params.switch_study(merged, source, "variants_study")
    left_out = other["zero_shot_languages"] or other["languages"]
    extra = other["imbalance_languages"] or other["languages"]
    without = [f"without-{lang}" for lang in left_out if len(other["languages"]) > 1]
    plus = [f"plus-{percent}-{lang}" for lang in extra for percent in other["imbalance_percents"]]
    most = [f"plus-{max(other['imbalance_percents'])}-{lang}" for lang in extra]
    for_five_questions = [*without, *most] if len(other["languages"]) > 1 else []
    return {
        "03-quality": [retrained],
        "02-influence": find_seeds(merged),
        "04-cross-language-influence": find_seeds(merged),
        "07-zero-shot": [
            other,
            *(params.with_variant(other, name) for name in without),
            *find_seeds(other),
        ],
        "08-imbalance": [other, *(params.with_variant(other, name) for name in plus)],
        "14-methods": [other, *(params.with_variant(other, name) for name in for_five_questions)],
        "15-language-and-label": [other, *(params.with_variant(other, name) for name in without)],
    }


def find_seeds(merged: Parameters) -> list[Parameters]:
    """Return the parameters of base with other seeds; none for a variant, which changes more.

    Parameters
    ----------
    merged
        The run's parameters.
    """
    if merged["variant"] != "base":
        return []
    return [params.with_variant(merged, f"seed-{seed}") for seed in merged["other_seeds"]]


def list_notebooks(merged: Parameters, source: Mapping[str, str]) -> list[str]:
    """The notebooks in `PER_TASK` that a run has.

    A published run has those whose runs are published too.

    Parameters
    ----------
    merged, source
        As `params.merge_with_source` returns them.
    """
    if not runs.can_load(merged):
        return []
    needed = find_compared(merged, source)

    def has_other_models(name: str) -> bool:
        others = [run for run in needed[name] if run["left_out"] or run["extra_language"]]
        return any(runs.can_load(run) for run in others)

    one = len(merged["languages"]) == 1  # nothing to leave out, and nothing to compare
    return [
        name
        for name in PER_TASK
        if name not in TRAINED_AGAIN or (has_other_models(name) and not one)
    ]


def check(merged: Parameters, source: Mapping[str, str], names: Iterable[str]) -> None:
    """Check, before anything is computed, what some notebooks need of the data of your own task.

    Parameters
    ----------
    merged, source
        As `params.merge_with_source` returns them.
    names
        The notebooks.

    Raises
    ------
    ParameterError
        A notebook compares languages and there is only one, a run needs more rows than there are,
        or its folder holds results of other data.
    """
    if len(merged["languages"]) == 1 and set(names) & set(TRAINED_AGAIN):
        raise params.ParameterError(
            f"languages={merged['languages']}: {' and '.join(set(names) & set(TRAINED_AGAIN))} "
            "compares models of different languages; allowed are two or more"
        )
    if merged["task"] != "own":
        return
    needed = find_compared(merged, source)
    try:
        for run in [merged, *(run for name in names for run in needed.get(name, []))]:
            check_data(run, runs.find_folder(run))
            sizes.check(run)
    except (own_files.TaskError, sizes.DataError, runs.RunError) as error:
        raise params.ParameterError(str(error)) from error
