"""The look that all figures share: one set of colours, quiet axes, text that can always be drawn."""

from collections.abc import Callable, Iterable
from functools import cache, wraps
from typing import Any, ParamSpec

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, fontManager, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine

DPI = 110  # a figure ten inches wide just fills a README

# Okabe and Ito's colours: told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
INK, GREY, FAINT = "#262626", "#767676", "#E4E4E4"
DASHED: Any = (0, (4, 3))

# White to dark blue, its lightness in CIELAB falling evenly.
COUNTS = LinearSegmentedColormap.from_list(
    "counts",
    ["#ffffff", "#c5e0fc", "#91bff5", "#679ee3", "#4d7cc5", "#415d9b", "#383f6a"],
).with_extremes(bad="#f3f3f3")

FONTS = [
    "DejaVu Sans",  # comes with matplotlib; the others, where installed, for what it lacks
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "IPAexGothic",
    "IPAGothic",
    "Hiragino Sans",
    "Yu Gothic",
    "MS Gothic",
    "Arial Unicode MS",
]

STYLE: Any = {
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called a$b$
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelcolor": GREY,
    "axes.edgecolor": "#BBBBBB",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.7,
    "xtick.color": "#BBBBBB",
    "ytick.color": "#BBBBBB",
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "ytick.minor.size": 0,
    "legend.edgecolor": "none",
    "legend.fancybox": False,
    "legend.framealpha": 0.85,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}

P = ParamSpec("P")


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function draw in the common style, and leave matplotlib's own settings alone."""

    @wraps(draw)
    def in_style(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with rc_context(STYLE | {"font.family": _installed_fonts()}):
            return draw(*args, **kwargs)

    return in_style


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches that arranges its parts by itself."""
    return Figure(figsize=(width, height), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))


def bare(axes: Axes) -> None:
    """Leave only what is drawn: no frame, ticks or grid."""
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set_visible(False)


def headline(figure: Figure, title: str, caption: str = "") -> None:
    """Write over the figure what to see in it, and beneath it where that comes from."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    if caption:
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8.5, color=GREY)


def drawable(names: Iterable[str]) -> list[str]:
    """Return class names for a figure: short, and `class 3` for one that no installed font can draw."""
    known = _known_characters()
    return [
        _shortened(name) if name.strip() and all(ord(c) in known and c.isprintable() for c in name)
        else f"class {number}"
        for number, name in enumerate(names)
    ]  # fmt: skip


def _shortened(name: str, longest: int = 16) -> str:
    return name if len(name) <= longest else f"{name[: longest - 7]}…{name[-6:]}"


@cache
def _installed_fonts() -> list[str]:
    installed = {entry.name for entry in fontManager.ttflist}
    return [name for name in FONTS if name in installed]


@cache
def _known_characters() -> frozenset[int]:
    return frozenset().union(*(get_font(findfont(name)).get_charmap() for name in _installed_fonts()))
