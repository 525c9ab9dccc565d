"""Links from the pages to the source code.

One setting of `_config.yml` makes them all, under `sphinx: config:`:

    repository: https://github.com/<owner>/<name>

Every page then has a menu with its source, an edit link, and a link that opens an issue. While the
setting is empty there is no menu, and so no dead link. On a host whose address does not contain
`github`, `gitlab` or `bitbucket`, set `repository_provider` to the one that it runs. The branch is
`main` unless `repository_branch` names another.
"""

import re

BUTTONS = (
    "use_repository_button",
    "use_issues_button",
    "use_edit_page_button",
    "use_source_button",
)
EXECUTED = re.compile(r"/book/runs/(?:[^/?]+/)*([^/?]+\.ipynb)")


def fill_theme_options(app, config):
    """Switch on the theme's links to the repository if there is one, and off if there is none."""
    url = config.repository.strip().rstrip("/").removesuffix(".git")
    config.html_theme_options |= {
        "repository_url": url,
        "repository_branch": config.repository_branch,
        "repository_provider": config.repository_provider,
        **dict.fromkeys(BUTTONS, bool(url)),
    }


def link_notebooks(app, pagename, templatename, context, doctree):
    """Link pages of executed notebooks to their source: `book/runs` is generated, not tracked."""
    for button in context.get("header_buttons", []):
        for link in [button, *button.get("buttons", [])]:
            if link.get("label") in ("source-file-button", "source-edit-button"):
                link["url"] = EXECUTED.sub(r"/notebooks/\1", link["url"])


def setup(app):
    """Register the settings, and the steps that use them."""
    for name, default in (("", ""), ("_branch", "main"), ("_provider", "")):
        app.add_config_value(f"repository{name}", default, "html", str)
    app.connect("config-inited", fill_theme_options)
    app.connect("html-page-context", link_notebooks, priority=502)  # after the theme adds them
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
