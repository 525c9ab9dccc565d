"""The page "API reference": Sphinx's autodoc, napoleon and viewcode, and what they leave out.

Each entry links to a copy of its module inside the book, so the link needs no repository.
"""

import importlib
import re

HIDDEN_DEFAULT = re.compile(r"<[^<>]+>")  # as in "= <factory>", which is no Python
LIST = '<dl>\n<dd><em class="sig-param">'


def find_module(app, module, name):
    """Name the module in which a public name is defined; for a method, that of its class.

    Sphinx alone takes a cached property to be defined in `functools`, and would copy that.
    """
    if not module:  # a signature that Sphinx could not read; it warns of that itself
        return None
    owner = getattr(importlib.import_module(module), name.split(".")[0], None)
    return getattr(owner, "__module__", module)


def spell_defaults(app, what, name, obj, options, signature, returned):
    """Write `...` for a default that has no name, such as that of a field with a factory.

    Sphinx cannot read a signature such as `(runs: ~module.Name = <factory>)`, and shows it raw.
    """
    return (HIDDEN_DEFAULT.sub("...", signature), returned) if signature else None


def link_short_path(app, env, node, text):
    """Link a class that is named by the module that defines it to where the page documents it.

    `xl_influence.methods.base.MethodInput`, say, is on the page as that of `xl_influence.methods`.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("xl_influence."):
        return None
    domain, (place, _, name) = env.get_domain("py"), target.rpartition(".")
    packages = [place.rsplit(".", cut)[0] for cut in range(1, place.count(".") + 1)]
    known = next((p for p in packages if f"{p}.{name}" in domain.objects), None)
    if known is None:
        return None
    place = node.get("refdoc", env.docname)
    return domain.resolve_xref(env, place, app.builder, "obj", f"{known}.{name}", node, text)


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
    app.connect("autodoc-process-signature", spell_defaults)
    app.connect("missing-reference", link_short_path)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("html-page-context", mend_signatures)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
