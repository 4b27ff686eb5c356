"""Run a run again, elsewhere, from its record alone, and say whether it came out the same.

python src/repeat.py outputs/patch_sets/<run>           a run folder, or the end of its name
python src/repeat.py run.zip output=somewhere           a zip of one, with nothing but Python and uv installed
python src/repeat.py mlflow:<run id>                    its artifacts on an MLflow server
python src/repeat.py <run> seed=1                       with other words, which train.py takes

This runs the code that the run keeps, as you: repeat only what you would run yourself.
It makes output= (./repeat_of_<run>): code/, .venv/ where packages differ, outputs/, console.txt, repeat.json.
Exit code 0: the same bit for bit; 1: not the same, or it failed; 2: it cannot be tried.
"""

import shutil
import sys
from pathlib import Path

from workbench.common.errors import ConfigError, UserError
from workbench.common.files import write_json
from workbench.common.process import begin_process
from workbench.common.redaction import redact_tracebacks
from workbench.repeat.rebuild import build_environment, missing_here, run_again, take_run, unpack_code
from workbench.repeat.verdict import judge
from workbench.run.snapshot import left_out


def repeat(words: list[str]) -> int:
    name, output, others = read_words(words)
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"output: {output} is not empty; name a new folder")
    is_new = not output.exists()
    output.mkdir(parents=True, exist_ok=True)
    try:
        run = take_run(name, output)
        code = unpack_code(run, output)
    except BaseException:
        if is_new:
            shutil.rmtree(output)
        raise
    print(f"repeating {run}", f"  code      {code}, which runs now", sep="\n")
    for line in left_out(run / "code.zip"):
        print(f"            the run does not keep {line}")
    python = choose_python(run, output)
    print(f"  training  {output / 'console.txt'}", flush=True)
    repeated = run_again(run, python, code, others, output)
    verdict = judge(run, repeated, others)
    record = {"original": str(run), "repeated": str(repeated), **verdict.as_json()}
    write_json(output / "repeat.json", record)
    print(f"verdict: {verdict}")
    return 0 if verdict.is_same else 1


def read_words(words: list[str]) -> tuple[str, Path, list[str]]:
    """Return which run, the folder to make, and the words that are train.py's."""
    named = [word.removeprefix("run=") for word in words if "=" not in word or word.startswith("run=")]
    if len(named) != 1:
        raise ConfigError("name one run: python src/repeat.py <run>")
    outputs = [word.removeprefix("output=") for word in words if word.startswith("output=")]
    default = f"repeat_of_{Path(named[0]).stem.replace(':', '_')}"
    others = [word for word in words if "=" in word and not word.startswith(("run=", "output="))]
    return named[0], Path(outputs[-1] if outputs else default).expanduser().absolute(), others


def choose_python(run: Path, output: Path) -> Path:
    """Return this Python where it has what the run had, else one of a new environment."""
    differing = missing_here(run)
    if not differing:
        print("  packages  as they are here: every version is the same")
        return Path(sys.executable)
    some = ", ".join(f"{name} (here {version})" for name, version in list(differing.items())[:5])
    more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
    print(f"  packages  into a new environment, by uv: {some}{more}", flush=True)
    return build_environment(run, output)


if __name__ == "__main__":
    redact_tracebacks()
    if {"-h", "--help"} & set(sys.argv) or len(sys.argv) == 1:
        print(__doc__.strip())
        sys.exit(0)
    try:
        begin_process()
        sys.exit(repeat(sys.argv[1:]))
    except UserError as error:
        sys.exit(error.tell())
    except KeyboardInterrupt:
        sys.exit(130)
