"""Libraries imported without a part of them that is slow to load and that we do not use."""

import contextlib
import sys
from collections.abc import Iterator

IRI_GRAMMAR = "rfc3987_syntax"  # the optional dependency by which jsonschema checks IRIs


@contextlib.contextmanager
def without_iri_grammar() -> Iterator[None]:
    """Import jsonschema, or what needs it (altair, nbformat), without its grammar of IRIs.

    Parsing that grammar takes more than a second, and nothing we validate has an IRI. The grammar
    can be imported again as soon as the block ends.
    """
    if IRI_GRAMMAR in sys.modules:
        yield
        return
    # None: whoever imports it gets an ImportError
    sys.modules[IRI_GRAMMAR] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[IRI_GRAMMAR]
