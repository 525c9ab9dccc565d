"""The page "API reference": Sphinx's autodoc, napoleon and viewcode, and what they leave out.

Each entry links to a copy of its module inside the book, so the link needs no repository.
"""

import importlib

LIST = '<dl>\n<dd><em class="sig-param">'


def find_module(app, module, name):
    """Name the module in which a public name is defined; for a method, that of its class.

    Sphinx alone takes a cached property to be defined in `functools`, and would copy that.
    """
    if not module:  # a signature that Sphinx could not read; it warns of that itself
        return None
    owner = getattr(importlib.import_module(module), name.split(".")[0], None)
    return getattr(owner, "__module__", module)


def skip_fields(app, what, name, member, skip, options):
    """Skip the fields of a named tuple: its docstring describes them."""
    described = (getattr(member, "__doc__", None) or "").startswith("Alias for field number")
    return True if described else None


def mend_signatures(app, pagename, templatename, context, doctree):
    """Long signatures are lists without terms, for screen readers an error: they become layout."""
    if LIST in (context.get("body") or ""):
        context["body"] = context["body"].replace(
            LIST, LIST.replace("dl", "dl role='presentation'")
        )


def setup(app):
    """Set up the three extensions of Sphinx, then what is added to them."""
    for name in ("autodoc", "napoleon", "viewcode"):
        app.setup_extension(f"sphinx.ext.{name}")
    app.connect("viewcode-follow-imported", find_module)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("html-page-context", mend_signatures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
