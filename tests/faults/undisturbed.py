"""A training that nobody disturbed, and that one that was killed goes on to the same end."""

import os
from pathlib import Path

from in_process import start
from kill import assert_whole, run, timed
from same_result import assert_same, runs_in

FIRST_SEED = int(os.environ.get("FAULTS_SEED", "0"))  # FAULTS_SEED=7 make test-faults begins at that round


def rounds(number: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + number)


class Reference:
    """A training that nobody disturbed."""

    def __init__(self, outputs: Path, words: list[str]) -> None:
        self.words = words
        self.seconds = timed(lambda: start(*words, f"outputs={outputs}"))
        (self.folder,) = runs_in(outputs)
        self.checkpoint_bytes = (self.folder / "checkpoints" / "last.ckpt").stat().st_size


def goes_on_to_the_same_end(outputs: Path, reference: Reference) -> None:
    for folder in runs_in(outputs):
        assert_whole(folder)
    begun = runs_in(outputs)
    words = [f"resume={begun[0]}"] if begun else [*reference.words, f"outputs={outputs}"]
    run(lambda: start(*words))
    (folder,) = runs_in(outputs)
    assert_same(folder, reference.folder)
