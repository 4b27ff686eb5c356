"""A host with a recorder in the place of docker."""

import os
import pty
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGINE = '{"SecurityOptions":["name=seccomp,profile=default"],"Runtimes":{"runc":{"path":"runc"}}}'
PORTS = "5000/tcp -> 127.0.0.1:15000\n6006/tcp -> 127.0.0.1:6006\n8888/tcp -> 127.0.0.1:18888\n"


@dataclass
class Host:
    """A host whose engine only writes down what it is told; `answers` holds what it says (recorder.sh)."""

    workspace: Path
    answers: Path

    def __call__(
        self, script: str, *words: str, cwd: Path | None = None, terminal: bool = False, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of docker/ with nothing in its environment but what is given here."""
        environment = {
            "PATH": f"{self.answers}:{os.environ['PATH']}",
            "HOME": str(self.workspace.parent),
            "TZ": "Asia/Tokyo",
            **variables,
        }
        path = script if "/" in script else str(self.workspace / "docker" / script)
        ours, theirs = pty.openpty() if terminal else (-1, subprocess.PIPE)
        done = subprocess.run(
            [path, *words],
            cwd=cwd or self.workspace.parent,
            env=environment,
            stdin=theirs if terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
        )
        if terminal:
            os.close(ours)
            os.close(theirs)
        return done

    def say(self, name: str, answer: str) -> None:
        """Set what the engine answers."""
        (self.answers / name).write_text(answer)

    def calls(self, verb: str) -> list[list[str]]:
        """Return the words of each call that began with a verb of docker."""
        record = self.answers / "calls"
        text = record.read_text() if record.exists() else ""
        words = [call.split("\0")[:-1] for call in text.split("\n\0")[:-1]]
        return [call for call in words if call[0] == verb]

    def environment(self) -> dict[str, str]:
        """Return the environment of the last call that passed variables on."""
        pairs = (self.answers / "environment").read_text().split("\0")[:-1]
        return dict(pair.split("=", 1) for pair in pairs)
