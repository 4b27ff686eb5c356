"""List and compare runs, from their folders alone.

python src/runs.py                                              every run, the newest first
python src/runs.py experiment_name=mnist tags.author=me         those of an experiment and a tag
python src/runs.py 'test/accuracy>0.9' hparams.optimizer=SGD,Adam status=finished 'note=*wider*'
python src/runs.py sort=-test/accuracy columns=run,model,hparams.width,test/accuracy
python src/runs.py format=csv > runs.csv                        or format=json: all parameters and metrics
python src/runs.py outputs=elsewhere                            runs that are kept in another folder
python src/runs.py diff <run> <run>                             run folders, or the ends of their names
python src/runs.py prune                                        what may go to make room; nothing is removed
python src/runs.py prune remove experiment_name=mnist           remove it, here of one experiment
python src/runs.py prune cache                                  remove what no process uses from the cache

What may go: checkpoints of whole runs that are not the best of their experiment, debug runs, dead runs.

A key is what train.py calls it (hparams.width, tags.idea, seed, data, model, task, data.patch_size, ...),
what a run logged (test/accuracy; val/loss and the like: the last value), or one of: run, started, seconds,
note, status (running, finished, failed, interrupted, pruned, dead). Operators: = != < > <= >=; quote < >.
"""

import sys
from collections.abc import Iterable, Sequence

from workbench.common.cache import cache_folder, cache_limit, cache_size, empty_cache
from workbench.common.errors import ConfigError, UserError
from workbench.common.redaction import redact_tracebacks
from workbench.common.table import render
from workbench.history.prune import Waste, find_waste, remove
from workbench.history.query import WORD, all_columns, differences, parse, telling_columns
from workbench.history.record import find_run, places, read_runs


def main(words: Sequence[str]) -> None:
    if {"-h", "--help"} & set(words):
        print(__doc__.strip())
    elif "diff" in words:
        show_differences([word for word in words if word != "diff"])
    elif "prune" in words:
        prune([word for word in words if word != "prune"])
    else:
        show_runs(words)


def show_runs(words: Sequence[str]) -> None:
    query = parse(words)
    records = read_runs(places(query.outputs))
    if not records:
        print("there is no run yet; python src/train.py makes one", file=sys.stderr)
    chosen = query.choose(records) if records else []
    choose = telling_columns if query.format == "table" else all_columns
    columns = query.columns or choose(chosen)
    rows = [
        {name: record.get(name) for name in columns} | {"folder": str(record.folder)} for record in chosen
    ]
    if rows or query.format != "table":
        print(render(rows, columns, query.format))
    elif records:
        print(f"no run matches ({len(records)} searched)", file=sys.stderr)


def show_differences(words: Sequence[str]) -> None:
    names = [word for word in words if "=" not in word]
    query = parse([word for word in words if "=" in word])
    if len(names) != 2 or query.filters:
        raise ConfigError("diff: name two runs: python src/runs.py diff <run> <run>")
    one, other = (find_run(name, places(query.outputs)) for name in names)
    rows = differences(one, other)
    if rows or query.format != "table":
        print(render(rows, ["key", one.name, other.name], query.format))
    else:
        print("they do not differ", file=sys.stderr)


def prune(words: Sequence[str]) -> None:
    plain = [word for word in words if not WORD.fullmatch(word)]
    query = parse([word for word in words if word not in plain])
    if plain not in ([], ["remove"], ["cache"]) or (plain == ["cache"] and query != parse([])):
        raise ConfigError("prune: write it alone, with remove and conditions on runs, or prune cache")
    if plain == ["cache"]:
        print(f"removed {megabytes(empty_cache())} from {cache_folder()}")
        return
    records = read_runs(places(query.outputs))
    chosen = {record.folder for record in (query.choose(records) if records else [])}
    waste = [one for one in find_waste(records) if one.run.folder in chosen]
    rows = [
        {"run": one.run.name, "what": one.what, "why": one.why, "size": megabytes(one.size)} for one in waste
    ]
    if rows:
        print(render(rows, list(rows[0]), query.format))
    said = sys.stdout if query.format == "table" else sys.stderr
    if plain:
        kept = [one for one in waste if not remove(one)]
        left = f"; left alone, since somebody writes there: {', '.join(one.run.name for one in kept)}"
        print(f"removed {_total(one for one in waste if one not in kept)}{left if kept else ''}", file=said)
        return
    print(
        f"\n{_total(waste)} may go by adding the word remove" if rows else "no run has anything that may go",
        file=said,
    )
    print(
        f"the cache holds {megabytes(cache_size())} of at most {megabytes(cache_limit())}: prune cache",
        file=said,
    )


def _total(waste: Iterable[Waste]) -> str:
    return megabytes(sum(one.size for one in waste))


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


if __name__ == "__main__":
    redact_tracebacks()
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(error.tell())
    except BrokenPipeError:  # of head or less, which has seen enough
        sys.stderr.close()
