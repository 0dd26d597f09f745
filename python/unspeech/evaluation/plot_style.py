"""The style of all pictures: colours, sizes, lines.

Source of the colours: M. Okabe, K. Ito, "Color Universal Design", 2008: they differ for
colour-blind eyes, too.
"""

import io

import matplotlib
from matplotlib.figure import Figure

BLUE, ORANGE = "#0072b2", "#d55e00"
COLOURS = [BLUE, ORANGE, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#b8ac1f"]
MARKERS = "os^vDP*X"
INK, FAINT = "#333333", "#8a8a8a"
styled = matplotlib.rc_context(
    {
        "figure.dpi": 200,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
    }
)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
