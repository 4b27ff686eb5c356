"""Words of -m become parameters: intervals, whole numbers, logarithms, choices."""

import pytest
from omegaconf import OmegaConf

from workbench.common.errors import ConfigError
from workbench.config.command import flags_last, train_command
from workbench.config.schema import Sweep
from workbench.search.samplers import make_sampler
from workbench.search.space import Choices, Range, read_space

RANGES = {
    "x=interval(0.001,0.002)": Range("x", 0.001, 0.002, None, False),
    "x=tag(log, interval(1e-5,1e-1))": Range("x", 1e-5, 1e-1, None, True),
    "x=int(interval(1,10))": Range("x", 1, 10, None, False),
    "x=range(1,5)": Range("x", 1, 4, 1, False),
    "x=range(1,10,3)": Range("x", 1, 7, 3, False),
    "x=tag(log, range(1,100))": Range("x", 1, 99, None, True),
    "x=range(0,1,0.25)": Range("x", 0.0, 0.75, 0.25, False),
}


@pytest.mark.parametrize("word", RANGES)
def test_numbers_have_both_ends_and_the_stop_of_a_range_is_left_out(word: str) -> None:
    assert read_space([word], None, as_study=True).parameters == [RANGES[word]]


def test_lists_keep_their_types_and_fixed_words_stay_as_typed() -> None:
    words = ["a=1", "b=SGD,Adam", "c=1,2.5,true", "+d='x y',z", "e=[1,2],[3,4]", "f=1,1"]
    space = read_space(words, None, as_study=False)
    assert space.fixed == ["a=1"]
    assert [p.labels for p in space.parameters if isinstance(p, Choices)] == [
        ("SGD", "Adam"),
        (1, 2.5, True),
        ("x y", "z"),
        ("[1,2]", "[3,4]"),
        (1,),
    ]
    values = {"b": "Adam", "c": 2.5, "d": "x y", "e": "[3,4]", "f": 1}
    assert space.words(values) == ["b=Adam", "c=2.5", "+d='x y'", "e=[3,4]", "f=1"]
    assert space.is_finite
    assert space.size == 24


def test_a_range_alone_is_a_list() -> None:
    space = read_space(["x=range(1,4)"], None, as_study=False)
    assert space.parameters == [Choices("x", (1, 2, 3), ("1", "2", "3"))]


def test_every_choice_and_either_end_is_checked_before_the_start() -> None:
    space = read_space(["a=1,2,3", "b=interval(0,1)"], None, as_study=False)
    assert [*space.words_to_check()] == [
        ["a=1", "b=0.0"],
        ["a=2", "b=0.0"],
        ["a=3", "b=0.0"],
        ["a=1", "b=1.0"],
    ]


@pytest.mark.parametrize("word", ["x=interval(2,1)", "x=range(5,1)", "x=tag(log, interval(0,1))"])
def test_what_holds_no_value_is_refused(word: str) -> None:
    with pytest.raises(ConfigError, match="x"):
        read_space([word], None, as_study=True)


def test_samplers_differ_by_trial_and_repeat_by_seed() -> None:
    import optuna

    sweep = OmegaConf.structured(Sweep(sampler="random"))

    def draw(seed: int, number: int) -> float:
        study = optuna.create_study(sampler=make_sampler(sweep, seed, number))
        return study.ask().suggest_float("x", 0, 1)

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert draw(0, 0) == draw(0, 0)
    assert len({draw(0, 0), draw(0, 1), draw(1, 0), draw(1, 1)}) == 4


def test_flags_may_stand_anywhere() -> None:
    assert flags_last(["a=1", "-m", "b=2"]) == ["a=1", "b=2", "-m"]
    assert flags_last(["--cfg", "job", "a=1"]) == ["a=1", "--cfg", "job"]
    assert flags_last(["--cfg=job", "-m", "~a"]) == ["~a", "--cfg=job", "-m"]
    assert flags_last(["--info", "a=1"]) == ["a=1", "--info"]


def test_a_command_can_be_pasted() -> None:
    assert train_command(["a='x y'", "b=1"]) == "python src/train.py 'a='\"'\"'x y'\"'\"'' b=1"
