"""Keeps tokens and passwords out of everything that is written, sent or shown on the screen.

What counts as one: the value of a variable (of the environment or of `.env`) that is named like a secret, and
the passwords inside the values of all variables, however a text has quoted them; and, from wherever it comes,
a password within an address.
"""

import html
import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

from workbench.common.workspace import read_env

BLANK = "***"
SHORTEST = 6  # a shorter value occurs by chance: blanking it would spoil honest text

SECRET_NAME = re.compile(
    r"token(?!s|iz)|secret|passw|passphrase|passcode|credential|(api|access|private)_?key"
    r"|(?<![a-z])(pat|auth|authorization|dsn|webhook|jwt|bearer)(?![a-z])|(?<=[a-z]_)pwd(?![a-z])",
    re.IGNORECASE,
)
# Of a variable or a part of an address, where no hyper-parameter such as sort_key or num_tokens can be meant.
SECRET_VARIABLE = re.compile(
    r"tokens|(?<![a-z])(?<!public_)((ssh|db)?pass|key|cookie|sig|signature)(?![a-z])", re.IGNORECASE
)
MAY_BE_A_WORD = re.compile(r"token|secret|pass|pwd", re.IGNORECASE)  # AUTH=basic is no secret

# scheme://user:PASSWORD@host, scheme://TOKEN@host; what a program is to fill in ({...}, $..., %s) is none
ADDRESS = re.compile(
    r"(?P<before>\b[a-z][a-z0-9+.-]{0,20}://(?:[^\s/?#@:'\"]*:(?=[^\s/?#'\"]+@)|(?=[^\s/?#@:'\"]{20,}@)))"
    r"(?![${*<]|%[s(])(?P<secret>[^\s/?#'\"<>]+)@",
    re.IGNORECASE,
)
QUERY = re.compile(r"(?P<before>[?&](?P<name>[\w.%-]+)=)(?![${*<]|%[s(])(?P<secret>[^\s&#'\"<>;]+)")
# In the value of a variable: password=..., "private_key": "...", Authorization: Bearer ...
PAIR = re.compile(
    r"(?<![\w.%-])(?P<name>[\w.%-]{1,60})[\"']?\s*[=:]\s*(?:Bearer\s+|Basic\s+)?"
    r"(?:\"(?P<double>(?:[^\"\\]|\\.)*)\"|'(?P<single>[^']*)'|(?P<plain>[^\s\"'&;,#}]+))",
    re.IGNORECASE,
)


def is_secret_name(key: str) -> bool:
    """Tell whether a key of a configuration is named like one that holds a secret."""
    return SECRET_NAME.search(_in_words(key)) is not None


def is_secret_in_query(name: str) -> bool:
    """Tell whether the key of an address's query holds a secret."""
    name = unquote(name)
    return is_secret_name(name) or name.lower() in ("key", "sig", "signature", "pass", "pwd")


def holds_secret(text: str) -> bool:
    """Tell whether a text holds a secret of the environment or of `.env`."""
    return any(anchor in text and pattern.search(text) for anchor, pattern in _patterns(_variables()))


def redact(text: str) -> str:
    """Return the text with every secret blanked."""
    for anchor, pattern in _patterns(_variables()):
        if anchor in text:
            text = pattern.sub(BLANK, text)
    if "://" in text:  # the passwords within addresses, whoever's they are
        text = QUERY.sub(_blank_query, ADDRESS.sub(rf"\g<before>{BLANK}@", text))
    return text


def _blank_query(found: re.Match[str]) -> str:
    return found["before"] + BLANK if is_secret_in_query(found["name"]) else found[0]


def redact_all(content: Any) -> Any:
    """Return lists and mappings of plain values with every secret in their texts blanked."""
    if isinstance(content, str):
        return redact(content)
    if isinstance(content, Mapping):
        return {redact_all(key): redact_all(value) for key, value in content.items()}
    return [redact_all(value) for value in content] if isinstance(content, list | tuple) else content


def redact_tracebacks() -> None:
    """Blank secrets in what an uncaught exception prints, unless a debugger or a notebook prints it."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _show
    if threading.excepthook is threading.__excepthook__:
        threading.excepthook = lambda args: _show(args.exc_type, args.exc_value, args.exc_traceback)


def _show(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None = None) -> None:
    if not issubclass(kind, SystemExit):  # which ends a thread quietly
        print(redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)


def _variables() -> frozenset[tuple[str, str]]:
    return frozenset([*read_env().items(), *os.environ.items()])


@lru_cache(maxsize=4)
def _patterns(variables: frozenset[tuple[str, str]]) -> list[tuple[str, re.Pattern[str]]]:
    """Return for each secret, the longest first, a part that no quoting changes, and the secret's pattern."""
    found = {one.strip() for name, value in variables for one in _secrets_of(name, value)}
    return [
        (max(re.findall(r"[0-9A-Za-z]+", one), key=len, default=""), re.compile(_however_quoted(one)))
        for one in sorted(found, key=len, reverse=True)
        if len(one) >= SHORTEST
    ]


def _secrets_of(name: str, value: str) -> Iterator[str]:
    """Give what is secret in a variable: its whole value by its name, and the passwords inside any value."""
    if _is_secret_variable(name) and _may_be_secret(name, value):
        yield value
    for part in _inside(value):
        yield from (part, unquote(part), unquote_plus(part))


def _inside(value: str) -> Iterator[str]:
    for found in PAIR.finditer(value):
        part = found["double"] or found["single"] or found["plain"] or ""
        if _is_secret_variable(found["name"]) and _may_be_secret(found["name"], part):
            yield part
    if "://" not in value:
        return
    for found in ADDRESS.finditer(value):
        if found["before"].rpartition("://")[2] != f"{found['secret']}:":  # postgres:postgres@ is no secret
            yield found["secret"]
    yield from (found["secret"] for found in QUERY.finditer(value) if is_secret_in_query(found["name"]))
    yield from re.findall(r"://[^\s/?#@:]*:([^\s@]*[/?#][^\s@]*)@", value)  # which ought to be quoted


def _is_secret_variable(name: str) -> bool:
    return is_secret_name(name) or SECRET_VARIABLE.search(_in_words(name)) is not None


def _may_be_secret(name: str, value: str) -> bool:
    """Tell a secret from a plain word (SORT_KEY=name), and from the path of a file that holds the secret."""
    is_word = value.isalpha() and not MAY_BE_A_WORD.search(name)
    is_path = value.startswith("/") and os.path.exists(value)  # noqa: PTH110  # which raises for a long value
    return not is_word and not is_path


def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # githubPat: github_Pat


def _however_quoted(secret: str) -> str:
    """Return a pattern for a secret as shells, Python, JSON, YAML, HTML and addresses write it."""
    return "".join(
        char if char.isascii() and char.isalnum() else f"(?i:{_character(char)})" for char in secret
    )


BACKSLASH = r"(?:\\|%(?:25)*5C)"


def _character(char: str) -> str:
    """Return a pattern for a character that is written otherwise within quotes."""
    if char == "\\":
        return f"{BACKSLASH}+"
    if (
        char.isspace()
    ):  # where a line is broken, the next may begin as one of a diff, a quotation or a comment
        ways = [rf"[\s+>#|-]+{BACKSLASH}*\s*"]
    else:
        ways = [rf"'{BACKSLASH}*\"{BACKSLASH}*'{BACKSLASH}*\"{BACKSLASH}*'", "''"] if char == "'" else []
    forms = (json.dumps(char)[1:-1], ascii(char)[1:-1], html.escape(char), quote(char, safe=""), char)
    for form in dict.fromkeys(forms):
        pattern = re.escape(form).replace("%", "%(?:25)*")
        ways.append(pattern.replace(r"\\", f"{BACKSLASH}+"))
    return rf"{BACKSLASH}*(?:{'|'.join(ways)})(?:\\\n[\s+>#|-]*\\?)?"  # where YAML breaks a line
