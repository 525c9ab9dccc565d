"""Where the files of your own task are: one for each split, or for each split and language."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from glob import escape
from pathlib import Path
from typing import NamedTuple

from .languages import TAG
from .own_files import FORMATS, SAVED, SPLITS, TaskError

NAMES = {  # split → what files call it
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
PARTS = ("{split}", "{lang}")  # of a pattern
SHARD = r"-[0-9]{5}-of-([0-9]{5})\."  # in the names of files of the hub
SHOWN = 8  # how many files a message lists


class Files(NamedTuple):
    """The files of one split."""

    name: Path  # of the file; of several, their pattern, for messages
    paths: dict[str, Path]  # language → file; '' → a file with all languages


def find_files(
    data_root: str, pattern: str = "", languages: Sequence[str] = ()
) -> dict[str, Files]:
    """Find the files of each split.

    Parameters
    ----------
    data_root
        The folder.
    pattern
        Paths in it, with `{split}` and, where every language has a file, `{lang}`; empty: the split
        alone. Splits are called as in `NAMES`; the ending can be missing.
    languages
        The languages whose files are wanted; none: all.

    Raises
    ------
    TaskError
        `data_root` is not set, or a file is missing, or there are several for the same rows.
    """
    needed = f"{', '.join(SPLITS)}, each as {', '.join(FORMATS)}"
    if not data_root:
        raise TaskError(
            f"task=own: data_root must name the folder that contains {needed}, or a folder saved "
            "by datasets"
        )
    folder = Path(data_root).expanduser()
    if (folder / SAVED).is_file():
        paths = {
            split: [folder / name for name in NAMES[split] if (folder / name).is_dir()]
            for split in SPLITS
        }
    elif pattern:
        return _find_by_pattern(folder, pattern, languages)
    else:
        paths = {split: list(_match(folder, "{split}", split).values()) for split in SPLITS}
    _check_found(paths, folder, needed)
    return {split: Files(path, {"": path}) for split, (path,) in paths.items()}


def _match(folder: Path, pattern: str, split: str) -> dict[tuple[str, str], Path]:
    """Map (language, path without its folder) to a path, for the files of a split."""
    ends = ("",) if Path(pattern).suffix in FORMATS else FORMATS
    found = {}
    for name in NAMES[split]:
        for end in ends:
            path = f"{pattern}{end}".replace("{split}", name)
            inner = re.escape(path).replace(r"\{lang\}", "(?P=lang)")
            whole = inner.replace("(?P=lang)", f"(?P<lang>{TAG})", 1)
            for file in sorted(folder.glob(escape(path).replace("{lang}", "*"))):
                inside = file.relative_to(folder).as_posix()
                fits = re.fullmatch(whole, inside)
                if fits and file.is_file():
                    found[fits.groupdict().get("lang", ""), inside] = file
    return found


def _find_by_pattern(folder: Path, pattern: str, languages: Sequence[str]) -> dict[str, Files]:
    """Find the files whose paths fit `pattern`; of those with a language, the ones asked for."""
    where = f"data_root {folder}, files={pattern}"
    unknown = [part for part in re.findall(r"\{.*?\}", pattern) if part not in PARTS]
    if unknown or Path(pattern).is_absolute():
        raise TaskError(
            f"{where}: allowed is a path inside data_root, with {' and '.join(PARTS)}, as in "
            "{lang}/{split}.tsv"
        )
    found = {}
    for split in SPLITS:
        paths: dict[str, Path] = {}
        for (lang, inside), path in _match(folder, pattern, split).items():
            if lang in paths:
                first = paths[lang].relative_to(folder)
                raise TaskError(f"{where}: {first} and {inside}; allowed is one of them")
            paths[lang] = path
        found[split] = Files(folder / pattern.replace("{split}", split), paths)
    if not found["train"].paths:
        raise TaskError(f"{where}: no file for train; there is {_list_inside(folder)}")
    wanted: Sequence[str] = ("",)
    if "{lang}" in pattern:
        wanted = languages or list(found["train"].paths)
    for split, files in found.items():
        missing = [lang or "all languages" for lang in wanted if lang not in files.paths]
        if missing:
            there = ", ".join(filter(None, files.paths)) or "no language"
            raise TaskError(
                f"{where}: no file for {split} ({' or '.join(NAMES[split])}) in "
                f"{', '.join(missing)}; there is one in {there}. Set languages"
            )
    return {
        split: Files(
            next(iter(files.paths.values())) if wanted == ("",) else files.name,
            {lang: files.paths[lang] for lang in wanted},
        )
        for split, files in found.items()
    }


def _list_inside(folder: Path) -> str:
    """The names in a folder, for a message."""
    names = sorted(path.name for path in folder.iterdir())
    return ", ".join([*names[:SHOWN], *(["…"] if len(names) > SHOWN else [])]) or "nothing"


def _check_found(found: dict[str, list[Path]], folder: Path, needed: str) -> None:
    """Raise `TaskError` unless there is one file for each split."""
    for split in SPLITS:
        paths = found.get(split, [])
        if len(paths) > 1:
            several = " and ".join(path.name for path in paths)
            raise TaskError(f"data_root {folder}: {several}; allowed is one file for each split")
        if not paths:
            raise TaskError(
                f"data_root {folder}: no {split}.csv (or {', '.join(FORMATS[1:])}); required are "
                f"{needed}; there is {_list_inside(folder)}{_suggest(folder)}"
            )


def _suggest(folder: Path) -> str:
    """Say how to name files that are elsewhere or one per language, or what to do with shards."""
    paths = [path.relative_to(folder).as_posix() for path in _list_data(folder)]
    names = [path for path in paths if re.search(r"(?<![a-z])train(?![a-z])", path.lower())]
    if any((shard := re.search(SHARD, name)) and int(shard[1]) > 1 for name in names):
        return (
            f". A split in several files ({names[0]}, …) is not read: make it one by "
            f"datasets.load_dataset({str(folder)!r}).save_to_disk('<new folder>'), and set "
            "data_root to that folder"
        )
    if not names:
        return ""
    if len(names) == 1:
        pattern = names[0].replace("train", "{split}")
        return f". If its files have other names, say so by files={pattern}"
    start = re.sub(r"[A-Za-z0-9]*$", "", _find_common_start(names))
    end = _find_common_start([name[len(start) :][::-1] for name in names])[::-1]
    end = re.sub(r"^[A-Za-z0-9]*", "", end)
    pattern = f"{start}{{lang}}{end}".replace("train", "{split}")
    if "{split}" not in pattern:
        return ""
    return f". If each language has a file of its own, say so by files={pattern}"


def _find_common_start(texts: Sequence[str]) -> str:
    """The characters with which all texts begin."""
    first, last = min(texts), max(texts)
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, last, strict=False))
    return first[: len(list(same))]


def _list_data(folder: Path) -> Iterator[Path]:
    """The data files in a folder and in the folders in it."""
    for depth in ("*", "*/*"):
        yield from sorted(path for path in folder.glob(depth) if path.suffix in FORMATS)
