"""How figures look: one column wide, few lines, colours that colour-blind people and printers can tell apart.

Knows:    the palette of Okabe and Ito (Color Universal Design, 2008) and one fixed marker or hatch beside each colour.
Imports:  matplotlib, slow to import: `warm` does it early.
"""

import io
import logging
import re
from collections.abc import Sequence
from typing import Any

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
INK, SOFT, FAINT, RULE = "#1c2733", "#5b6773", "#c9d0d7", "#e4e8ec"

WIDTH_IN = 7.6  # the page's column
_LEGEND_COLUMNS, _KEY_IN, _LETTER_IN = 4, 0.7, 0.066  # of an entry: the line with its gaps, one letter at 8.5 points
FONTS = ["Helvetica Neue", "Helvetica", "Arial", "Liberation Sans", "DejaVu Sans"]

_SETTINGS: Any = {
    "font.family": FONTS,
    "font.size": 9,
    "svg.hashsalt": "wardround",  # names within a figure are the same each time it is drawn
    "svg.fonttype": "none",  # text stays text: small, sharp, searchable
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "grid.color": RULE,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.8,
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
    "path.simplify": True,
}


def warm() -> None:
    """Import everything a report needs, so that writing one later takes no import; seconds, safe in a thread."""
    import jinja2  # noqa: F401  # for its cost
    import matplotlib
    import matplotlib.backends.backend_svg
    import matplotlib.figure

    logging.getLogger("matplotlib.font_manager").setLevel(
        logging.ERROR
    )  # a missing font is no news: the next one is taken
    matplotlib.rcParams.update(_SETTINGS)


def figure(height_in: float, **options: Any) -> Any:
    """A new figure of the page's width, without pyplot and its global state."""
    from matplotlib.figure import Figure

    return Figure(figsize=(WIDTH_IN, height_in), layout="constrained", **options)


def to_svg(drawn: Any, title: str) -> str:
    """The figure as an inline SVG element that scales with the page and has a name for screen readers."""
    target = io.StringIO()
    drawn.savefig(target, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = target.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)


def legend(drawn: Any, handles: Sequence[Any], labels: Sequence[str]) -> None:
    """Below the figure, in as many columns as fit its width: of the long ones fewer, so that none is cut."""
    drawn.legend(handles, labels, loc="outside lower center", ncols=_columns(labels))


def _columns(labels: Sequence[str]) -> int:
    longest = max((len(label) for label in labels), default=1)
    return max(1, min(_LEGEND_COLUMNS, len(labels), int(WIDTH_IN / (_KEY_IN + _LETTER_IN * longest))))


def whole_numbers(axes: Any, ticks: int = 8) -> None:
    """Versions are counted: no half of one on the x axis."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=ticks))


def plain(axes: Any, *, grid: str = "y") -> None:
    """A calm frame: no box, a light grid along one axis."""
    axes.grid(True, axis=grid)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(True)
    axes.tick_params(length=0 if grid == "both" else 3)
