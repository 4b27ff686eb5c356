"""What was typed before a TAB: shell words, overrides, and the part of the last word to complete."""

import posix

from workbench.common.hydra_flags import FLAGS_WITH_VALUE

CLOSERS = {"[": "]", "(": ")", "{": "}"}


class Word:
    """The word under the cursor: its text without quotes, and how the shell sees its end."""

    def __init__(self, text: str, typed: str, quote: str) -> None:
        self.text = text
        self.typed = typed  # as typed, from where bash begins to replace it
        self.quote = quote  # the quote that is still open


def split(line: str, breaks: str = "") -> tuple[list[str], Word]:
    """Split a line as a shell does; the last word is the one under the cursor, and may be empty.

    `breaks` are the characters at which readline begins a new word (COMP_WORDBREAKS).
    """
    words: list[str] = []
    text, quote, begins, started, escaped = "", "", 0, False, False
    for position, character in enumerate(line):
        if escaped:
            text += character if quote != '"' or character in '"\\$`' else "\\" + character
            escaped = False
        elif character == "\\" and quote != "'":
            started = escaped = True
        elif quote and character != quote:
            text += character
        elif character in "'\"":
            quote = "" if quote else character
            started, begins = True, position + 1
        elif character.isspace():
            words += [text] if started else []
            text, started, begins = "", False, position + 1
        else:
            text, started = text + character, True
            begins = position + 1 if character in breaks else begins
    return words, Word(text, line[begins:], quote)


def after_script(words: list[str], script: str) -> list[str]:
    """Return the words behind the script."""
    for position, word in enumerate(words):
        if word.endswith(".py") and _is_same_file(word, script):
            return words[position + 1 :]
    return []


def _is_same_file(word: str, script: str) -> bool:
    home = posix.environ.get(b"HOME", b"").decode()
    try:
        first, second = posix.stat(home + word[1:] if word.startswith("~/") else word), posix.stat(script)
    except OSError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def sort_words(words: list[str]) -> tuple[dict[str, str], list[str], str]:
    """Return flags with their values, overrides, and the flag whose value the next word is, if any."""
    flags: dict[str, str] = {}
    overrides: list[str] = []
    waiting = ""
    for word in words:
        if waiting:
            flags[waiting], waiting = word, ""
        elif word.startswith("-"):
            name, _, value = word.partition("=")
            name = FLAGS_WITH_VALUE.get(name, name)
            if name in FLAGS_WITH_VALUE.values() and not value:
                waiting = name
            flags[name] = value
        elif "=" in word or word.startswith("~"):
            overrides.append(word)
    return flags, overrides, waiting


def part(overrides: list[str], groups: set[str]) -> tuple[list[str], list[str]]:
    """Part the overrides that can change which keys there are from those that change the value of one."""
    changing = [override for override in overrides if _changes_keys(override, groups)]
    return changing, [override for override in overrides if override not in changing]


def _changes_keys(override: str, groups: set[str]) -> bool:
    key, _, value = override.partition("=")
    return key[:1] in ("+", "~") or "/" in key or "@" in key or key in groups or value[:1] in ("[", "{")


def base_of(text: str) -> str:
    """Return the part of a word that Hydra's answer depends on; what follows only filters the answer."""
    key, equals, _ = text.partition("=")
    if equals:
        return key + equals
    if text[:1] == "-":
        return "-"
    prefix = 1 if text[:1] in ("+", "~") else 0
    return text[: text.rfind(".") + 1 or text.rfind("/") + 1 or prefix]


def last_item(text: str) -> tuple[str, str, list[str], str]:
    """Split a word at the list item under the cursor: what precedes, the item, its elders, and what closes.

    `loggers=[csv,ml` gives `loggers=[csv,`, `ml`, [`csv`] and `]`.
    """
    key, equals, value = text.partition("=")
    if not equals:
        return "", text, [], ""
    open_brackets: list[str] = []
    begins, items = 0, []
    for position, character in enumerate(value):
        if character in CLOSERS:
            open_brackets.append(CLOSERS[character])
        elif open_brackets and character == open_brackets[-1]:
            open_brackets.pop()
        if character in CLOSERS or character == ",":
            items.append(value[begins:position])
            begins = position + 1
    return key + equals + value[:begins], value[begins:], items, "".join(reversed(open_brackets))
