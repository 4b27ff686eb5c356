"""The last lines of a run: its metrics, where everything is, and the command that shows it."""

import shutil
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from workbench.common.workspace import typed
from workbench.run.metrics_file import lower_is_better

TOGETHER = "\u00a0"  # a space at which no line is broken


def closing_table(
    folder: Path,
    metrics: dict[str, float],
    trackers: Collection[str],
    trouble: str = "",
    verdict: str = "",
    called: str = "run folder",
) -> str:
    """Return the table as text; `trouble` is what the run could not do although it finished.

    `verdict` says how a repetition came out beside its original; `called` is what the folder is.
    """
    rows = [*_folded(metrics), *(("no better", line) for line in no_better(metrics))]
    if trouble:
        rows.append(("error", trouble))
    if verdict:
        rows.append(("repetition", verdict))
    rows.append((called, typed(folder)))
    if (folder / "figures").is_dir():
        rows.append(("figures", typed(folder / "figures")))
    rows += [("look at it", command) for command in _commands(folder, trackers)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(["", *(_wrapped(name, value, width) for name, value in rows), ""])


# What a metric `test/<name>` has to beat, where `test/<control>_<name>` is known.
CONTROLS = {
    "trivial": "what needs no learning",
    "untrained": "the same network before it was trained",
}


def no_better(metrics: Mapping[str, float]) -> Iterator[str]:
    """Say of each metric which of its controls it does not beat; the control of an AUROC is chance too."""
    for name, value in metrics.items():
        split, _, last = name.rpartition("/")
        controls = {f"{split}/{control}_{last}": why for control, why in CONTROLS.items()}
        beside = [(control, metrics[control], why) for control, why in controls.items() if control in metrics]
        if name == "test/auroc":
            beside.append(("chance", 0.5, "a ranking at random"))
        sign = -1 if lower_is_better(last) else 1
        for control, other, why in beside:
            if sign * value <= sign * other:
                yield f"{name} {_number(value)} than {control} {_number(other)}: {why}"


def _folded(metrics: dict[str, float]) -> Iterator[tuple[str, str]]:
    """Give a metric a row, with its interval and what needs no learning; those in one folder share one."""
    bounds = {name: (f"{name}_low", f"{name}_high") for name in metrics}
    inside = {bound for pair in bounds.values() for bound in pair} | {_trivial(name) for name in metrics}
    folders: dict[str, list[str]] = {}
    for name in metrics:
        folder, _, last = name.rpartition("/")
        if "/" in folder:
            folders.setdefault(folder, []).append(f"{last}{TOGETHER}{_number(metrics[name])}")
    for name, value in metrics.items():
        folder = name.rpartition("/")[0]
        low, high = bounds[name]
        if "/" in folder:
            if folder in folders:
                yield folder, "   ".join(folders.pop(folder))
        elif name not in inside:
            beside = []
            if low in metrics and high in metrics:
                beside.append(f"{_number(metrics[low])} to {_number(metrics[high])}")
            if (trivial := _trivial(name)) in metrics:
                beside.append(f"trivial {_number(metrics[trivial])}")
            yield name, f"{_number(value)}  ({', '.join(beside)})" if beside else _number(value)


def _trivial(name: str) -> str:
    """Return the name of what a metric reaches without learning."""
    split, _, last = name.rpartition("/")
    return f"{split}/trivial_{last}"


def _number(value: float) -> str:
    return f"{value:.4f}" if value == 0 or abs(value) >= 0.001 else f"{value:.3g}"


def _wrapped(name: str, value: str, width: int) -> str:
    """Break what is wider than the terminal; a path or command stays whole, to be copied."""
    if "   " not in value:
        return f"  {name:<{width}}  {value}".replace(TOGETHER, " ")
    columns = max(shutil.get_terminal_size().columns, width + 30)
    indent = " " * (width + 4)
    text = textwrap.fill(value, columns, initial_indent=f"  {name:<{width}}  ", subsequent_indent=indent)
    return text.replace(TOGETHER, " ")


def _commands(folder: Path, trackers: Collection[str]) -> Iterator[str]:
    if "tensorboard" in trackers:
        yield f"{_program('tensorboard')} --logdir {typed(folder.parent)}"
    if "mlflow" in trackers:
        from workbench.tracking.mlflow import tracking_uri

        uri = tracking_uri()
        is_server = uri.startswith("http")
        yield uri if is_server else f"{_program('mlflow')} server --workers 1 --backend-store-uri {uri}"


def _program(name: str) -> str:
    """Return a program's name, with its folder where the environment is not activated."""
    return name if shutil.which(name) else typed(Path(sys.executable).parent / name)
