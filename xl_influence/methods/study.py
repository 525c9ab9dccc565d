"""A study's runs, as the methods and the paper's questions take them. Nothing is computed here."""

from __future__ import annotations

from collections.abc import Mapping

from .. import params, runs, scores, workflow
from ..manifest import is_at_chance
from ..paper import read_paper
from ..sections import Analysis, Influence, Parameters
from .base import MethodInput
from .five_questions import Runs


def read_given(config: Analysis) -> MethodInput:
    """Read a finished run as methods take it.

    Parameters
    ----------
    config : mapping
        The run's parameters.

    Raises
    ------
    ScoreError
        The run is missing or incomplete.
    """
    return as_given(scores.read(config), config)


def as_given(found: scores.Scored, config: Analysis) -> MethodInput:
    """Return a run that has been read, as methods take it.

    Parameters
    ----------
    found : Scored
        The run.
    config : mapping
        Its parameters.
    """
    return MethodInput(
        found.cube,
        found.train,
        found.test,
        folder=runs.find_folder(config),
        top_k=config["top_k"],
        device=config["device"],
    )


def read_runs(
    config: Parameters, source: Mapping[str, str], base: MethodInput
) -> tuple[Runs, list[str]]:
    """Read the runs that the paper's questions are about, as far as they are finished.

    Which they are is in `workflow.find_compared`. Where `config` is of a variant with fewer or more
    samples of a language, variants are compared with `base`, which has all languages.

    Parameters
    ----------
    config, source
        As `params.from_notebook` returns them.
    base : MethodInput
        The run of `config`.

    Returns
    -------
    runs : Runs
        Without models that are at chance in the language that they are about.
    at_chance : list of str
        The variants that were left out for that.
    """
    other, *variants = workflow.find_compared(config, source)["14-methods"]
    if other["left_out"] or other["extra_language"]:  # compare with the model of all languages
        other = params.with_variant(other, "base")
    if not _is_there(other):
        return Runs(base), []
    seen = scores.read(other)
    at_chance: list[str] = []
    without: dict[str, MethodInput] = {}
    more: dict[str, MethodInput] = {}
    for variant in filter(_is_there, variants):
        lang = variant["left_out"] or variant["extra_language"]
        run = scores.read(variant)
        if is_at_chance(run.manifest, lang) or is_at_chance(seen.manifest, lang):
            at_chance.append(variant["variant"])
            continue
        found = without if variant["left_out"] else more
        found[lang] = as_given(run, variant)
    return Runs(base, as_given(seen, other), more, without), at_chance


def _is_there(config: Influence) -> bool:
    """Whether a run is finished; in a folder of published runs, whether it is published."""
    return runs.can_load(config) and scores.is_done(config)


def mostly_repeats(task: str) -> bool:
    """Whether the paper finds more than half of a task's samples reinforcing (section 8.1).

    Parameters
    ----------
    task : str
        The task. For those that the paper does not say this of, True.
    """
    against = [claim for claim in read_paper()["claims"] if claim["id"] == "complementary"]
    return not any(task in claim["tasks"] for claim in against)
