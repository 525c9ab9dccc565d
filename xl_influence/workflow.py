"""Which notebook needs which, and which runs each compares: what the Snakefile runs, and what the book gathers."""

from . import params, runs

PER_TASK = {  # notebook → the notebooks whose artefacts it needs
    "01-data-and-fine-tuning": [],
    "02-influence": ["01-data-and-fine-tuning"],
    "03-quality": ["02-influence"],
    "04-cross-language-influence": ["02-influence"],
    "05-reinforcing-or-complementary": ["02-influence"],
    "06-sharing-dynamics": ["02-influence"],
    "07-zero-shot": ["02-influence"],
    "08-imbalance": ["02-influence"],
    "09-the-paper-and-this-run": [  # reads tables only
        "03-quality",
        "04-cross-language-influence",
        "05-reinforcing-or-complementary",
        "06-sharing-dynamics",
        "07-zero-shot",
        "08-imbalance",
    ],
    "10-where-in-the-network": ["02-influence"],
}
TRAINED_AGAIN = (
    "07-zero-shot",
    "08-imbalance",
)  # they compare models with each other, and say nothing of a single one
ONCE = ("00-the-answer", "11-how-fast", "12-what-ran")


def compared(merged, source):
    """Notebook → parameters of the runs whose influence it compares, of this study or of a smaller one."""
    again, other = (
        params.switch_study(merged, source, key) for key in ("removal_study", "variants_study")
    )
    languages = [
        other[key] or other["languages"] for key in ("zero_shot_languages", "imbalance_languages")
    ]
    without = [f"without-{lang}" for lang in languages[0]]
    plus = [
        f"plus-{percent}-{lang}" for lang in languages[1] for percent in other["imbalance_percents"]
    ]
    return {
        "03-quality": [again],
        "07-zero-shot": [other, *(params.with_variant(other, name) for name in without)],
        "08-imbalance": [other, *(params.with_variant(other, name) for name in plus)],
    }


def notebooks(merged, source):
    """The notebooks of `PER_TASK` that a run has; of a published one those whose runs were published too."""
    if not runs.can_load(merged):
        return []
    needed = compared(merged, source)
    return [
        name
        for name in PER_TASK
        if name not in TRAINED_AGAIN
        or any(runs.can_load(run) for run in needed[name] if run["variant"] != merged["variant"])
    ]
