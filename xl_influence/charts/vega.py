"""Vega for charts without a connection, out of the installed `vl_convert`.

Altair's HTML fetches Vega, Vega-Lite and vega-embed from a CDN, unless a global `VEGA_DEBUG` says
which versions of them are there already. A notebook inlines both scripts below; the book's pages
load them as files (`book/_ext/offline_vega.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping


def bundle_script(name: str) -> str:
    """JavaScript that holds the three libraries, and sets `window.<name>` to vega-embed.

    All other names in it stay its own.
    """
    import vl_convert

    module = vl_convert.javascript_bundle(f"window.{name} = vegaEmbed;")
    return f"(() => {{ {module} }})();"


def versions_script(versions: Mapping[str, str]) -> str:
    """JavaScript that tells Altair's output which libraries need not be fetched.

    `versions` maps their names to the versions that the output asks for.
    """
    present = {f"{name.replace('-', '')}_version": number for name, number in versions.items()}
    return f"var VEGA_DEBUG = {json.dumps(present)};"
