"""Tell whether this machine is ready, and what is in a data set.

python src/doctor.py
python src/doctor.py data.root=photos
python src/doctor.py data=features data.root=bags data.folds=5 data.fold=0

The words are those of data that train.py takes; without data= it is chosen by what the folder holds.
Exit code: 0 all is well; 1 something is wrong; 2 a wrong word.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench.common.errors import ConfigError, UserError
from workbench.common.machine import Finding, examine_machine
from workbench.common.process import begin_process
from workbench.common.redaction import redact
from workbench.common.workspace import ROOT, load_env, quoted


def examine_data(words: Sequence[str]) -> Iterator[Finding]:
    """Build the data that the words name, and look at them; ConfigError for a word that cannot be right."""
    from hydra import compose, initialize_config_dir

    from patchsets.data.survey import kind_of, survey
    from workbench.config import composition
    from workbench.config.build import build

    typed = dict(word.split("=", 1) for word in words)
    root = typed.get("data.root", "")
    words = [f"data.root={quoted(Path(root))}" if word.startswith("data.root=") else word for word in words]
    if "data" not in typed:
        words = [f"data={kind_of(Path(root).expanduser())}", *words]
    load_env()
    composition.register()
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        config = compose("config", overrides=[*words])
    yield Finding("ok", "data", " ".join(words))
    yield from survey(build(config.data, "data", list(config.trusted_targets)))


def doctor(words: Sequence[str]) -> int:
    """Print a line for each finding, and return the exit code."""
    for word in words:
        if "=" not in word or not word.lstrip("+").startswith(("data=", "data.", "hparams.")):
            raise ConfigError(f"{word}: doctor takes words of data only, such as data.root=<folder>")
    found = [*examine_machine(), *(examine_data(words) if words else ())]
    width = max(len(finding.what) for finding in found)
    for mark, what, said in found:
        print(redact(f"{mark:5}  {what:{width}}  {said}"))
    wrong = sum(finding.mark == "wrong" for finding in found)
    print(f"\n{wrong} wrong" if wrong else "\nall is well")
    return 1 if wrong else 0


def main() -> int:
    try:
        begin_process()
        return doctor(sys.argv[1:])
    except UserError as error:
        return error.tell()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from workbench.config.explanations import explain, is_config_error

        if not is_config_error(error):
            raise
        return ConfigError(explain(error)).tell()


if __name__ == "__main__":
    if {"-h", "--help"} & set(sys.argv):
        print(__doc__)
        sys.exit(0)
    sys.exit(main())
