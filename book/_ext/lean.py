"""Pages without a formula do not load MathJax, which is a megabyte."""


def drop_mathjax(app, pagename, templatename, context, doctree):
    if 'class="math' not in (context.get("body") or "") and "script_files" in context:
        context["script_files"] = [
            file for file in context["script_files"] if "mathjax" not in str(file)
        ]


def setup(app):
    app.connect("html-page-context", drop_mathjax, priority=900)  # after those that add it
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
