"""A search at a glance: how it went, what mattered, which combinations were good.

The figures of a sweep, from its finished trials.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workbench.common.figure_style import BLUE, COUNTS, GREY, RED, drawable, new_figure, styled
from workbench.common.files import appearing_whole
from workbench.search.results import Goal
from workbench.search.space import Range, Space
from workbench.search.study import folder_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial


FAINTEST = 0.25  # of the colours: lighter ones are lost on white


@dataclass(frozen=True)
class Tried:
    """One finished trial: its number, parameters by name, the metric, and whether it was pruned."""

    number: int
    parameters: Mapping[str, Any]
    value: float
    pruned: bool = False


@styled
def search_history(tried: Sequence[Tried], metric: str, maximize: bool) -> Figure:
    """Draw what each trial reached, and the best so far."""
    figure = new_figure(6.4, 3.8)
    axes = figure.add_subplot()
    for pruned, colour, label in ((False, BLUE, "trial"), (True, GREY, "pruned")):
        some = [trial for trial in tried if trial.pruned is pruned]
        if some:
            axes.plot(_numbers(some), _values(some), "o", color=colour, alpha=0.7, markersize=5, label=label)
    whole = [trial for trial in tried if not trial.pruned]
    best = (np.maximum if maximize else np.minimum).accumulate(_values(whole))
    axes.step(_numbers(whole), best, where="post", color=RED, label="best so far")
    axes.set(title="What the search reached", xlabel="trial", ylabel=metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    return figure


@styled
def parameter_importance(importance: Mapping[str, float], metric: str) -> Figure:
    """Draw the share of each parameter in the differences of the metric."""
    figure = new_figure(6.4, 1.4 + 0.38 * len(importance))
    axes = figure.add_subplot()
    names = sorted(importance, key=lambda name: importance[name])
    bars = axes.barh(_short(names), [importance[name] for name in names], color=BLUE, height=0.6)
    axes.bar_label(bars, [f"{importance[name]:.2f}" for name in names], padding=4, color=GREY)
    axes.set(title=f"What {metric} depends on", xlabel="importance", xlim=(0, 1.1))
    axes.grid(False, axis="y")
    return figure


@styled
def parallel_coordinates(
    tried: Sequence[Tried], metric: str, maximize: bool, logarithmic: Sequence[str]
) -> Figure:
    """Draw each trial as a line through its parameters to the metric, the best darkest."""
    names = list(tried[0].parameters)
    scales = [_Scale([trial.parameters[name] for trial in tried], name in logarithmic) for name in names]
    scales.append(_Scale([trial.value for trial in tried], False))
    figure = new_figure(min(10.8, 2.0 + 1.9 * len(scales)), 4.2)
    axes = figure.add_subplot()
    worst_first = sorted(tried, key=lambda trial: trial.value, reverse=not maximize)
    for rank, trial in enumerate(worst_first, start=1):
        places = [*(trial.parameters[name] for name in names), trial.value]
        heights = [scale(place) for scale, place in zip(scales, places, strict=True)]
        shade = FAINTEST + (1 - FAINTEST) * rank / len(tried)
        axes.plot(range(len(scales)), heights, color=COUNTS(shade), linewidth=1.4)
    for place, (name, scale) in enumerate(zip([*_short(names), metric], scales, strict=True)):
        _coordinate(axes, place, name, scale)
    axes.set(title="All trials, the best darkest", xlim=(-0.4, len(scales) - 0.4), yticks=[])
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


@styled
def parameter_against_metric(tried: Sequence[Tried], name: str, metric: str, logarithmic: bool) -> Figure:
    """Draw the metric of each trial against one number that was varied."""
    figure = new_figure(6.0, 3.8)
    axes = figure.add_subplot()
    numbers = _numbers(tried)
    points = axes.scatter(
        [trial.parameters[name] for trial in tried],
        _values(tried),
        c=[FAINTEST + (1 - FAINTEST) * number / max(1, max(numbers)) for number in numbers],
        cmap=COUNTS,
        vmin=0,
        vmax=1,
        s=28,
    )
    points.set_label("later trials are darker")
    if logarithmic:
        axes.set_xscale("log")
    axes.set(title=f"{metric} by {_short([name])[0]}", xlabel=_short([name])[0], ylabel=metric)
    axes.legend()
    return figure


class _Scale:
    """Places the values of one parameter between 0 and 1; what is no number gets evenly spaced places."""

    def __init__(self, values: Sequence[Any], logarithmic: bool) -> None:
        self._logarithmic = logarithmic
        self._is_number = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
        self._known = sorted(set(values)) if self._is_number else sorted(set(map(str, values)))

    def __call__(self, value: Any) -> float:
        if not self._is_number:
            return self._known.index(str(value)) / max(1, len(self._known) - 1)
        low, high, here = (self._transformed(float(v)) for v in (self._known[0], self._known[-1], value))
        return 0.5 if low == high else (here - low) / (high - low)

    def _transformed(self, value: float) -> float:
        return float(np.log(value)) if self._logarithmic else float(value)

    def marks(self) -> list[tuple[float, str]]:
        """Return heights and what is written there."""
        if not self._is_number:
            return [(self(name), text) for name, text in zip(self._known, drawable(self._known), strict=True)]
        if len(self._known) <= 5:
            return [(self(value), f"{value:.3g}") for value in self._known]
        return [(self(value), f"{value:.3g}") for value in (self._known[0], self._known[-1])]


def _coordinate(axes: Axes, place: int, name: str, scale: _Scale) -> None:
    axes.axvline(place, color="#BBBBBB", linewidth=0.8, zorder=0)
    axes.text(place, -0.1, name, ha="center", va="top", color=GREY)
    for height, text in scale.marks():
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
        axes.text(place + 0.03, height, text, va="center", fontsize=8, color=GREY, bbox=box, zorder=5)


def _numbers(tried: Sequence[Tried]) -> list[int]:
    return [trial.number for trial in tried]


def _values(tried: Sequence[Tried]) -> list[float]:
    return [trial.value for trial in tried]


def _short(names: Sequence[str]) -> list[str]:
    return [name.removeprefix("hparams.") for name in names]


FEWEST = 2  # trials, below which there is nothing to compare


def draw(study: "Study", trials: Sequence["FrozenTrial"], goal: Goal, space: Space, folder: Path) -> None:
    """Write history, importance, parallel coordinates, and each number against the metric, as PNG.

    With several directions each metric has figures of its own.
    """
    if len(trials) < FEWEST:
        return
    folder.mkdir(exist_ok=True)
    for place, metric in enumerate(goal.metrics):
        prefix = f"{metric.replace('/', '_')}_" if len(goal.metrics) > 1 else ""
        for name, figure in _figures(study, trials, goal, space, place):
            with appearing_whole(folder / f"{prefix}{name}.png") as temporary:
                figure.savefig(temporary, format="png")


def _figures(
    study: "Study", trials: Sequence["FrozenTrial"], goal: Goal, space: Space, place: int
) -> Iterator[tuple[str, "Figure"]]:
    from workbench.search import figures

    metric, maximize = goal.metrics[place], goal.directions[place] == "maximize"
    names = [parameter.name for parameter in space.parameters]
    tried = [
        figures.Tried(
            int(folder_name(t)),
            {name: t.params[name] for name in names},
            t.values[place],
            t.state.name == "PRUNED",
        )
        for t in sorted(trials, key=lambda trial: int(folder_name(trial)))
        if t.values and all(name in t.params for name in names)
    ]
    whole = [trial for trial in tried if not trial.pruned]
    if len(whole) < FEWEST:
        return
    logarithmic = [p.name for p in space.parameters if isinstance(p, Range) and p.log]
    yield "history", figures.search_history(tried, metric, maximize)
    if importance := _importance(study, place, names):
        yield "importance", figures.parameter_importance(importance, metric)
    if names:
        yield "parallel_coordinates", figures.parallel_coordinates(whole, metric, maximize, logarithmic)
    for parameter in space.parameters:
        if isinstance(parameter, Range):
            name = parameter.name
            by = figures.parameter_against_metric(whole, name, metric, name in logarithmic)
            yield f"{metric} by {name.removeprefix('hparams.')}".replace("/", "_"), by


def _importance(study: "Study", place: int, names: Sequence[str]) -> dict[str, float]:
    """Return each parameter's importance; none where the trials do not tell."""
    import optuna

    if len(names) < FEWEST:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return optuna.importance.get_param_importances(study, target=lambda trial: trial.values[place])
    except (ValueError, RuntimeError, ZeroDivisionError):  # too few trials, or all alike
        return {}
