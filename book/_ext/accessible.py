"""What the theme and docutils leave out for screen readers: names of the sidebar's toggles, and a list without list items."""


def name_toggles(app, pagename, templatename, context, doctree):
    """The buttons that unfold a part of the sidebar show an arrow and nothing else."""
    generate = context.get("generate_toctree_html")
    if generate:
        context["generate_toctree_html"] = lambda *args, **options: _named(
            generate(*args, **options)
        )
    if context.get("body"):
        context["body"] = context["body"].replace(
            '<div role="list" class="citation-list">', '<div class="citation-list">'
        )


def _named(tree):
    for summary in getattr(tree, "find_all", lambda _: [])(
        "summary"
    ):  # a soup, or "" where there are no pages
        summary["aria-label"] = "Show or hide the pages below"
    return tree


def setup(app):
    app.connect("html-page-context", name_toggles, priority=900)  # after the theme
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
