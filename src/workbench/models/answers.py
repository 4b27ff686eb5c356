"""The answers in their folder: a line of JSON for each image as it comes, and a table once all are there."""

import csv
import json
import os
from pathlib import Path
from typing import Any

from workbench.common.errors import ConfigError
from workbench.common.files import appearing_whole, read_json, write_json

Answer = dict[str, Any]


class AnswerFile:
    """predictions.jsonl, appended to; what an interrupted command wrote there counts as done.

    `asked` is what the answers depend on beside the images. Raises ConfigError where the folder holds answers
    to something else, or cannot be written.
    """

    def __init__(self, folder: Path, asked: dict[str, Any]) -> None:
        self.folder = folder
        self.path = folder / "predictions.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._check_asked(asked)
            self.answered_until = self.path.stat().st_mtime if self.path.is_file() else 0.0  # Unix time
            self.done = _whole_lines(self.path)
            self.path.touch()
        except OSError as error:
            raise ConfigError(f"output: {folder} cannot be written: {error.strerror}") from error

    def _check_asked(self, asked: dict[str, Any]) -> None:
        path = self.folder / "asked.json"
        before = read_json(path) if self.path.exists() else None
        if before is not None and before != asked:
            changed = ", ".join(key for key in asked if before.get(key) != asked[key])
            raise ConfigError(
                f"output: {self.folder} holds answers of another {changed}; give another folder, or remove it"
            )
        write_json(path, asked)

    def write(self, answers: list[Answer]) -> None:
        """Append answers in one write, so that killing the process loses none of them."""
        lines = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        with self.path.open("ab", buffering=0) as file:
            file.write(lines.encode())
        self.done |= {answer["path"]: answer for answer in answers}

    def forget(self, names: list[str]) -> None:
        """Let go of answers that are to be given again."""
        for name in names:
            self.done.pop(name, None)

    def write_table(self, names: list[str]) -> list[Answer]:
        """Write predictions.csv, and predictions.jsonl anew, in the order of the names."""
        answers = [self.done[name] for name in names if name in self.done]
        with appearing_whole(self.path) as path:
            path.write_text("".join(json.dumps(a, ensure_ascii=False) + "\n" for a in answers), "utf-8")
        columns = list(dict.fromkeys(key for answer in answers for key in answer))
        table = self.folder / "predictions.csv"
        with appearing_whole(table) as path, path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(answers)
        return answers


def _whole_lines(path: Path) -> dict[str, Answer]:
    """Return the answers of a file by path; a last line that was cut off is cut away."""
    if not path.is_file():
        return {}
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.truncate(path, len(whole))
    answers = [json.loads(line) for line in whole.decode().splitlines()]
    return {answer["path"]: answer for answer in answers}
