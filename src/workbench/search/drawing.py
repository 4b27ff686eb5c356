"""The figures of a sweep, from its finished trials."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.common.files import appearing_whole
from workbench.search.goal import Goal
from workbench.search.space import Range, Space
from workbench.search.study import folder_name

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from optuna import Study
    from optuna.trial import FrozenTrial


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
