"""A fake of the Hugging Face hub on 127.0.0.1.

It serves the study's data sets and a tiny encoder under their real names. The texts come from the
demo corpora. The encoder has XLM-R's architecture, tokenizer and vocabulary, with two narrow layers
of random weights. It answers what `datasets` and `transformers` ask: facts about a repository, its
tree, and its files. (The real hub redirects to a CDN for large files; here there are none.)

It has the real hub's faults too, where a test asks for them: PAWS-X with rows that were never
translated, XNLI with rows in the wrong place, repositories that were withdrawn (`hub.gone`), and a
hub that fails or hangs (`hub.broken`).

By hand: `python tests/fake_hub.py FOLDER` fills the folder, prints the `export` line for a
second terminal and serves until interrupted. In tests: `with serve(root) as hub`, then `hub.url`
and `hub.requests`.
"""

import contextlib
import hashlib
import json
import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pandas as pd
import torch
import yaml
from transformers import XLMRobertaConfig, XLMRobertaForMaskedLM

from xl_influence import demo, e5small
from xl_influence.tasks import SPLITS, TASKS

FACTS = re.compile(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.+))?)?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class _NotFoundError(Exception):
    """What was requested does not exist: `_NotFoundError(code, what, headers)`.

    The clients tell cases apart by the hub's code.
    """

    def __init__(self, code, what, headers=None, status=404):
        super().__init__(code, what)
        self.headers = headers or {}
        self.status = status

    def __str__(self):
        return ": ".join(self.args)


class Repo:
    """A folder as a repository with one commit."""

    def __init__(self, folder):
        self.files = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file()
        }
        self.ids = {
            name: hashlib.sha1(path.read_bytes()).hexdigest() for name, path in self.files.items()
        }
        self.commit = hashlib.sha1(json.dumps(self.ids, sort_keys=True).encode()).hexdigest()

    def tree(self, folder, recursive):
        """List `folder` ('' is the root) as the hub does, with all folders in it if `recursive`."""
        prefix = f"{folder}/" if folder else ""
        inside = [name for name in self.files if name.startswith(prefix)]
        if not inside:
            raise _NotFoundError("EntryNotFound", folder)
        folders = {
            str(above)
            for name in inside
            for above in Path(name).parents
            if str(above).startswith(prefix)
        } - {"."}
        entries = [
            {"type": "directory", "path": name, "size": 0, "oid": self.commit}
            for name in sorted(folders)
        ]
        for name in sorted(inside):
            size = self.files[name].stat().st_size
            entries.append({"type": "file", "path": name, "size": size, "oid": self.ids[name]})
        return [
            entry for entry in entries if recursive or "/" not in entry["path"].removeprefix(prefix)
        ]


class Hub(ThreadingHTTPServer):
    """Serves the repositories under `root`.

    `requests` is the log: (method, path, status). `gone` maps repositories, as (kind, name), to the
    status that they answer with. `broken` is a status for everything, or 'hang'.
    """

    daemon_threads = True

    def __init__(self, root):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.requests = []
        self.gone = {}
        self.broken = None
        self.closing = threading.Event()
        self.repos = {
            (kind, f"{folder.parent.name}/{folder.name}"): Repo(folder)
            for kind in ("datasets", "models")
            for folder in (Path(root) / kind).glob("*/*")
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open, so every answer must state its length

    def do_GET(self):
        if self.server.broken == "hang":
            self.server.closing.wait()
            self.close_connection = True
        elif self.server.broken:
            self._send(self.server.broken, {}, b"try again later")
        else:
            self._answer()

    def _answer(self):
        url = urlsplit(self.path)
        try:
            if match := FILE.fullmatch(url.path):
                answer = self._file(
                    "datasets" if match[1] else "models", match[2], match[3], unquote(match[4])
                )
            elif match := FACTS.fullmatch(url.path):
                answer = self._facts(
                    *match.groups(), recursive=parse_qs(url.query).get("recursive") == ["true"]
                )
            else:
                raise _NotFoundError("RouteNotFound", self.path)
        except _NotFoundError as error:
            headers = {"X-Error-Code": error.args[0], "X-Error-Message": str(error)} | error.headers
            answer = error.status, headers, json.dumps({"error": str(error)}).encode()
        self._send(*answer)

    do_HEAD = do_GET  # noqa: N815, the name that http.server looks for

    def log_request(self, code="-", size="-"):
        self.server.requests.append((self.command, self.path, int(code)))

    def _repo(self, kind, name, revision):
        if status := self.server.gone.get((kind, name)):
            # Like the real one, it says 401 to those who are not logged in.
            raise _NotFoundError("RepoNotFound", name, status=status)
        if (kind, name) not in self.server.repos:
            raise _NotFoundError("RepoNotFound", name)
        repo = self.server.repos[kind, name]
        if revision not in ("main", repo.commit):
            raise _NotFoundError("RevisionNotFound", revision)
        return repo

    def _facts(self, kind, name, what, revision, path, recursive):
        """A repository's card, or a folder of its tree, as JSON."""
        repo = self._repo(kind, name, revision or "main")
        if what == "tree":
            answer = repo.tree(unquote(path or ""), recursive)
        else:
            card = {
                "id": name,
                "sha": repo.commit,
                "private": False,
                "gated": False,
                "disabled": False,
                "tags": [],
            }
            answer = card | {"siblings": [{"rfilename": file} for file in repo.files]}
        return 200, {"Content-Type": "application/json"}, json.dumps(answer).encode()

    def _file(self, kind, name, revision, path):
        """A file's content."""
        repo = self._repo(kind, name, revision)
        if path not in repo.files:
            raise _NotFoundError("EntryNotFound", path, {"X-Repo-Commit": repo.commit})
        return (
            200,
            {"ETag": f'"{repo.ids[path]}"', "X-Repo-Commit": repo.commit},
            repo.files[path].read_bytes(),
        )

    def _send(self, status, headers, content):
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextlib.contextmanager
def serve(root):
    """A running `Hub` with what `write_datasets` and `write_encoder` wrote to `root`."""
    with Hub(root) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            hub.closing.set()
            hub.shutdown()


# Rows of PAWS-X that were never translated, in every split: language → row → what stands there. In
# the real one that is one text or both, the label is then often 0, and missing labels are -1.
UNTRANSLATED = {
    "de": {2: {"text_a": "NS", "text_b": "NS", "label": 0}, 3: {"text_b": "NS", "label": 0}},
    "es": {6: {"label": -1}},
    "fr": {5: {"text_a": "ns", "text_b": "WL", "label": 0}},
    "ko": {4: {"text_a": "", "text_b": " "}},
}
N_UNTRANSLATED = sum(map(len, UNTRANSLATED.values()))  # items


def write_datasets(root, begin="", faults=()):
    """Write the three tasks' repositories from the demo corpora, in the real ones' layout.

    Every text begins with `begin`. `faults`: 'untranslated' (in PAWS-X, see `UNTRANSLATED`), 'swap'
    (two Spanish training rows of XNLI), 'shift' (from the tenth German training row of XNLI on).
    """
    for task in TASKS.values():
        rows = pd.DataFrame(demo.load(task.name))
        rows["text_a"] = begin + rows["text_a"]
        for (lang, split), part in rows.groupby(["lang", "split"]):
            part = _spoil(task.name, lang, split, part.reset_index(drop=True), faults)
            folder = Path(root) / "datasets" / task.hub.format(lang=lang)
            write = _write_pairs if task.config_is_language else _write_reviews
            write(task, folder, lang, split, part)
        if task.config_is_language:
            (folder / "README.md").write_text(_card(rows["lang"].unique()))


def _spoil(task, lang, split, rows, faults):
    """The rows of one language and split with the faults asked for."""
    if task == "pawsx" and "untranslated" in faults:
        for row, values in UNTRANSLATED.get(lang, {}).items():
            rows.loc[row, list(values)] = list(values.values())
    if task != "xnli" or split != "train":
        return rows
    order, translated = list(range(len(rows))), ["text_a", "text_b", "label"]
    if lang == "es" and "swap" in faults:
        first, other = find_swap(rows)
        order[first], order[other] = order[other], order[first]
    if lang == "de" and "shift" in faults:
        order = [*order[:10], *order[11:], order[10]]
    rows[translated] = rows.loc[order, translated].to_numpy()
    return rows


def find_swap(rows):
    """The first row with a number, and the last one with the same label and other numbers."""
    numbers = rows["text_a"].str.findall(r"\d+").str.join(" ")
    first = int(numbers.ne("").idxmax())
    fits = numbers.ne("") & numbers.ne(numbers[first]) & rows["label"].eq(rows["label"][first])
    return first, int(fits[::-1].idxmax())


def _write_pairs(task, folder, lang, split, rows):
    """One configuration and split of XNLI or PAWS-X."""
    table = rows[["text_a", "text_b", "label"]].set_axis([*task.columns, "label"], axis=1)
    if task.item_column:
        table.insert(0, task.item_column, rows["item"].astype("int32") + 1)
    (folder / lang).mkdir(parents=True, exist_ok=True)
    table.to_parquet(folder / lang / f"{split}-00000-of-00001.parquet", index=False)


def _write_reviews(task, folder, lang, split, rows):
    """One split of MARC: the demo corpus has stars, the data set's labels begin at 0.

    As in the real one, its card has no front matter.
    """
    label = rows["label"] - 1
    ids = f"{lang}_{split}-" + rows["item"].astype(str)
    table = pd.DataFrame(
        {"id": ids, "text": rows["text_a"], "label": label, "label_text": label.astype(str)}
    )
    folder.mkdir(parents=True, exist_ok=True)
    table.to_json(folder / f"{split}.jsonl", orient="records", lines=True, force_ascii=False)
    (folder / "README.md").write_text(f"# Amazon reviews, {lang}\n")


def _card(languages):
    """A data card whose front matter lists each configuration's files."""
    configs = [
        {
            "config_name": lang,
            "data_files": [{"split": split, "path": f"{lang}/{split}-*"} for split in SPLITS],
        }
        for lang in languages
    ]
    return f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n"


def write_encoder(root):
    """Write FacebookAI/xlm-roberta-base: its tokenizer, and a small model with random weights.

    The tokenizer has no Unicode normalization of its own.
    """
    folder = Path(root) / "models" / "FacebookAI" / "xlm-roberta-base"
    e5small.make_tokenizer(e5small.read(weights=False)).save_pretrained(folder)
    # This is all that the real one says.
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    config = XLMRobertaConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        vocab_size=250002,
        max_position_embeddings=514,
        type_vocab_size=1,
        pad_token_id=1,
        layer_norm_eps=1e-5,
        initializer_range=0.3,  # so wide that different texts get different logits
    )
    torch.manual_seed(0)
    XLMRobertaForMaskedLM(config).save_pretrained(folder)


def main(root):
    write_datasets(root, faults=("untranslated",))
    write_encoder(root)
    with serve(root) as hub, contextlib.suppress(KeyboardInterrupt):
        print(f"export HF_ENDPOINT={hub.url}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
