"""How a line is taken apart."""

import shlex

import pytest

from workbench.completion.command_line import base_of, last_item, part, sort_words, split

LINES = [
    "a 'b c' d",
    'a "b c" d',
    "a b\\ c d",
    "a='b c'd e",
    'a "b\\"c" d',
    "a '' b",
    'x "\\n" y',
    "日本 'a=写真' z",
]


@pytest.mark.parametrize("line", LINES)
def test_splits_as_a_shell_does(line: str) -> None:
    words, word = split(line)
    assert [*words, word.text] == shlex.split(line)


@pytest.mark.parametrize(
    ("line", "text", "typed", "quote"),
    [
        ("a b=c", "b=c", "c", ""),
        ("a 'b=c", "b=c", "b=c", "'"),
        ("a b='c:d", "b=c:d", "c:d", "'"),
        ("a b\\ c", "b c", "b\\ c", ""),
        ("a ", "", "", ""),
    ],
)
def test_knows_what_bash_replaces(line: str, text: str, typed: str, quote: str) -> None:
    word = split(line, breaks=" =:")[1]
    assert (word.text, word.typed, word.quote) == (text, typed, quote)


def test_parts_structure_from_values() -> None:
    flags, overrides, waiting = sort_words(
        ["-m", "-cn", "other", "model=a,b", "hparams.width=3", "junk", "--cfg"]
    )
    assert (flags, waiting) == ({"-m": "", "--config-name": "other", "--cfg": ""}, "--cfg")
    overrides += ["+new=1", "~seed", "hydra/launcher=basic", "hparams.patches=[1,2]", "seed=1"]
    changing, values = part(overrides, {"model"})
    assert values == ["hparams.width=3", "seed=1"]
    assert changing == ["model=a,b", "+new=1", "~seed", "hydra/launcher=basic", "hparams.patches=[1,2]"]


@pytest.mark.parametrize(
    ("text", "base"),
    [("", ""), ("a", ""), ("a.b", "a."), ("a.b=c.d/e", "a.b="), ("a/b", "a/"), ("+a", "+"), ("--a", "-")],
)
def test_base(text: str, base: str) -> None:
    assert base_of(text) == base


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b", ("", "a.b", [], "")),
        ("a=b", ("a=", "b", [], "")),
        ("a=b,c,d", ("a=b,c,", "d", ["b", "c"], "")),
        ("a=[b,c", ("a=[b,", "c", ["", "b"], "]")),
        ("a=choice(b,c", ("a=choice(b,", "c", ["choice", "b"], ")")),
        ("a=[[b],c", ("a=[[b],", "c", ["", "", "b]"], "]")),
    ],
)
def test_last_item(text: str, parts: tuple[str, str, list[str], str]) -> None:
    assert last_item(text) == parts
