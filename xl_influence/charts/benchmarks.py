"""Charts of `make bench`."""

import altair as alt

from .base import COLORS


def _three_digits(number):
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


WAYS = {  # column → its title and format
    "case": ("case", "{}"),
    "way": ("way", "{}"),
    "rate": ("samples/s", _three_digits),
    "ratio": ("× slower", _three_digits),
    "of_bound": ("of the limit", "{:.2%}"),
    "peak_gb": ("peak GB", "{:.1f}"),
    "seconds": ("seconds", "{:.1f}"),
    "passes": ("backward passes", "{:,.0f}"),
    "covered": ("covers", "{}"),
    "max_error": ("error", "{:.0e}"),
    "tile": ("tile", "{:.0f}"),
    "hours": ("hours", "{:,.2g}"),
}


def plot_growth(table):
    """Seconds against what grows, one panel per axis; a line would be straight through equal ratios (log scales)."""
    base = alt.Chart(table).encode(
        x=alt.X(
            "value:Q",
            title=None,
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format="~s", tickCount=4),
        ),
        tooltip=[
            "axis",
            "value",
            *[alt.Tooltip(name, format=".1f") for name in ("seconds", "low", "high")],
        ],
    )
    y = alt.Y("seconds:Q", scale=alt.Scale(type="log"), axis=alt.Axis(tickCount=4))
    bars = base.mark_rule(color=COLORS["en"]).encode(y=alt.Y("low:Q", title="seconds"), y2="high:Q")
    line = base.mark_line(point=True, color=COLORS["en"]).encode(y=y)
    return (
        (bars + line)
        .properties(
            width=170,
            height=130,
            description="Seconds of the engine as one quantity grows, on logarithmic scales.",
        )
        .facet(alt.Facet("axis:N", title=None, sort=list(dict.fromkeys(table["axis"]))), columns=3)
        .resolve_scale(x="independent")
    )


def plot_rates(table):
    """Training samples per second of each way to compute the same influence, one panel per case, on a logarithmic scale."""
    base = alt.Chart(table[table["rate"].notna()]).encode(
        y=alt.Y("way:N", title=None, sort="-x"),
        x=alt.X("rate:Q", title="training samples per second", scale=alt.Scale(type="log")),
        color=alt.Color(
            "exact:N",
            title="over all parameters",
            scale=alt.Scale(domain=[True, False], range=[COLORS["en"], COLORS["de"]]),
            legend=alt.Legend(orient="top", labelExpr="datum.value ? 'yes' : 'some only'"),
        ),
        tooltip=[
            "way",
            alt.Tooltip("rate", format=".3~g"),
            "covered",
            alt.Tooltip("peak_gb", format=".1f", title="peak GB"),
        ],
    )
    return (
        base.mark_point(filled=True, size=80, opacity=1)
        .properties(
            width=420,
            height={"step": 20},
            description="Training samples per second of each library and reference.",
        )
        .facet(
            row=alt.Row(
                "case:N",
                title=None,
                sort=list(dict.fromkeys(table["case"])),
                header=alt.Header(orient="top", labelAngle=0, labelAnchor="start"),
            )
        )
        .resolve_scale(y="independent")
    )


def show_ways(table, columns):
    """These columns of `speed.comparison` or `speed.paper_scale` as a styled table."""
    shown = table[list(columns)].rename(columns={name: WAYS[name][0] for name in columns})
    return shown.style.hide().format(dict(WAYS[name] for name in columns), na_rep="–")


def plot_steps(table):
    """Where the time of one training sample goes, as bars."""
    return (
        alt.Chart(table.assign(milliseconds=1000 * table["seconds"]))
        .mark_bar(color=COLORS["en"])
        .encode(
            y=alt.Y("step:N", title=None, sort="-x"),
            x=alt.X("milliseconds:Q", title="milliseconds per training sample"),
            tooltip=["step", alt.Tooltip("milliseconds", format=".1f")],
        )
        .properties(
            width="container",
            height={"step": 24},
            description="Milliseconds per training sample of each step.",
        )
    )
