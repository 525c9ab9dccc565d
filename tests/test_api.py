"""The API reference builds without a warning, its examples run, and pages link to their source."""

import doctest
import html
import importlib
import inspect
import io
import pkgutil
import re
import types

import pytest
import yaml
from conftest import ROOT
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

PAGE = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["sphinx"]["config"]
MODULES = re.findall(r"automodule:: (\S+)", PAGE)
CLASSES = re.findall(r"autoclass:: (\S+)\.\w+", PAGE)
OWN = (  # the settings of _config.yml that only the API reference needs
    "add_module_names",
    "autodoc_member_order",
    "autodoc_typehints_format",
    "default_role",
    "maximum_signature_line_length",
    "napoleon_google_docstring",
    "napoleon_use_ivar",
    "nitpick_ignore_regex",
)


def with_submodules(name):
    """A module's name, and those of its parts where it is a package."""
    paths = getattr(importlib.import_module(name), "__path__", [])
    return [name, *(f"{name}.{part.name}" for part in pkgutil.iter_modules(paths))]


DOCUMENTED = [part for name in MODULES + CLASSES for part in with_submodules(name)]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_examples_in_docstrings_run(name, pytestconfig):
    flags = map(doctest.OPTIONFLAGS_BY_NAME.get, pytestconfig.getini("doctest_optionflags"))
    found = doctest.testmod(importlib.import_module(name), optionflags=sum(flags))
    assert found.failed == 0, f"see above, or run: pytest --doctest-modules for {name}"


@pytest.fixture(scope="module")
def documented(tmp_path_factory):
    """Build the page alone, with every warning an error; returns it as HTML."""
    source = tmp_path_factory.mktemp("api")
    (source / "index.md").write_text(PAGE, encoding="utf-8")
    for page in re.findall(r"\]\((\S+\.md)\)", PAGE):
        (source / page).write_text("---\norphan: true\n---\n# Another page\n")
    settings = {key: CONFIG[key] for key in OWN} | {
        "extensions": ["myst_parser", "sphinx_design", "api_reference", "architectures"],
        "myst_enable_extensions": ["colon_fence"],
        "nitpicky": True,
    }
    warnings = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, docutils_namespace():
        patch.syspath_prepend(str(ROOT / "book" / "_ext"))
        app = Sphinx(
            srcdir=source,
            confdir=None,
            outdir=source / "html",
            doctreedir=source / "doctrees",
            buildername="html",
            confoverrides=settings,
            status=None,
            warning=warnings,
        )
        app.build()
    found = re.sub(r"\x1b\[[\d;]*m", "", warnings.getvalue())  # without colours
    if found:
        pytest.fail(found, pytrace=False)
    return (source / "html" / "index.html").read_text(encoding="utf-8")


def find_names(page):
    return set(re.findall(r'id="(xl_influence[\w.]+)"', page))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_is_on_the_page(documented, name):
    module = importlib.import_module(name)
    public = getattr(module, "__all__", None) or [
        key
        for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", None) == name
    ]
    wanted = {f"{name}.{key}" for key in public if callable(getattr(module, key))}
    assert wanted - find_names(documented) == set(), (
        "a public function or class without a docstring"
    )


def test_the_engine_is_on_the_page(documented):
    from xl_influence.engine.engine import Engine

    methods = [key for key, _ in inspect.getmembers(Engine, inspect.isfunction) if key[0] != "_"]
    assert {f"xl_influence.engine.engine.Engine.{key}" for key in methods} <= find_names(documented)


def test_no_markup_is_shown_raw_and_types_are_names_linked_to_the_page(documented):
    shown = re.sub(r"<(pre|code|script|style)\b.*?</\1>", "", documented, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", "", shown))
    raw = r"~\w|`|::|:\w+:|\*\w+\*|\{\w+\}|\]\(|\]_|<\w|\\|----"  # roles, links, code, emphasis
    assert re.findall(rf".*(?:{raw}).*", text) == []
    signatures = " ".join(re.findall(r'<em class="sig-param">.*?</em>', documented))
    own = r'<span class="pre">(MethodInput|Bootstrap)</span>'
    linked = re.findall(rf'<a [^>]*href="#xl_influence\.\w+\.\w+"[^>]*>{own}', signatures)
    assert len(linked) > 20 and len(linked) == len(re.findall(own, signatures))


@pytest.fixture
def repository(monkeypatch):
    """The extension of the book that makes the links to the repository."""
    monkeypatch.syspath_prepend(str(ROOT / "book" / "_ext"))
    return importlib.import_module("repository")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("", ""),
        ("https://github.com/someone/xl-influence", "https://github.com/someone/xl-influence"),
        ("https://github.com/someone/xl-influence.git", "https://github.com/someone/xl-influence"),
    ],
)
def test_one_setting_makes_all_links_to_the_repository(repository, address, expected):
    config = types.SimpleNamespace(
        repository=address,
        repository_branch="main",
        repository_provider="",
        html_theme_options={"show_toc_level": 2},
    )
    repository.fill_theme_options(None, config)
    options = config.html_theme_options
    assert options["repository_url"] == expected
    assert options["show_toc_level"] == 2
    assert {options[button] for button in repository.BUTTONS} == {bool(expected)}


def test_an_executed_notebook_links_to_its_source(repository):
    base = "https://github.com/someone/xl-influence/edit/main"
    link = {"label": "source-edit-button", "url": f"{base}/book/runs/xnli/02-influence.ipynb"}
    page = {"label": "source-file-button", "url": f"{base}/book/method.md"}
    context = {"header_buttons": [{"label": "source-buttons", "buttons": [link, page]}]}
    repository.link_notebooks(None, "", "", context, None)
    assert link["url"] == f"{base}/notebooks/02-influence.ipynb"
    assert page["url"] == f"{base}/book/method.md"
