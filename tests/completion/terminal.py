"""A real bash or fish on a pseudo-terminal: keys go in, and the line under the cursor is read back."""

import fcntl
import os
import pty
import re
import select
import subprocess
import termios
import time
from pathlib import Path

ESCAPES = re.compile(
    r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[()][A-Z0-9]|[=>78])|[\r\x07\x0f]"
)
READ_LINE = "\x07"  # Ctrl-G, bound below
PATIENCE = 20.0
SETUP = {
    "bash": """PS1='ready> '; PS2=; bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
bind -x '"\\C-g": printf %s. "$READLINE_LINE" >{line}.new; mv {line}.new {line}; READLINE_LINE='""",
    "fish": """function fish_prompt; echo 'ready> '; end; function fish_right_prompt; end
function read_line; string join '' (commandline) . >{line}.new; mv {line}.new {line}; commandline ''; end
bind \\cg read_line; set -g fish_greeting; set -g fish_autosuggestion_enabled 0""",
}


class Terminal:
    """One interactive shell, with nothing of the user's own set up."""

    def __init__(self, shell: str, home: Path, start: str, folder: Path, **variables: str) -> None:
        self.shell, self.home = shell, home
        self._line = home / "line"
        # Without this folder fish reads every manual page, in the background, for ten seconds.
        (home / ".local/share/fish/generated_completions").mkdir(parents=True)
        setup = home / "setup"
        setup.write_text(SETUP[shell].replace("{line}", str(self._line)) + "\n" + start + "\n")
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        command = {
            "bash": ["bash", "--noprofile", "--rcfile", str(setup), "-i"],
            "fish": ["fish", "--init-command", f"source {setup}", "-i"],
        }[shell]
        self._keys, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, b"\x32\x00\xc8\x00\x00\x00\x00\x00")  # 50 rows, 200 columns
        self.process = subprocess.Popen(
            command,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=folder,
            env=environment | variables,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(inside)
        self.screen = ""
        self.press("")

    def press(self, keys: str) -> str:
        """Send keys; return the line that stands there afterwards, and leave an empty one."""
        self._line.unlink(missing_ok=True)
        os.write(self._keys, (keys + READ_LINE).encode())
        ends = time.monotonic() + PATIENCE
        before = self.screen = ""
        while not self._line.exists() or self.screen != before:
            assert time.monotonic() < ends, self.screen
            before = self.screen
            self._read()
        return self._line.read_text().removesuffix("\n").removesuffix(".")

    def tab(self, typed: str) -> str:
        """Type, press TAB, return the line."""
        return self.press(typed + "\t")

    def listed(self, typed: str) -> set[str]:
        """Type, press TAB until candidates are listed, return the words on the screen."""
        self.press(typed + "\t\t")
        return set(self.screen.split())

    def _read(self) -> None:
        if select.select([self._keys], [], [], 0.02)[0]:
            try:
                text = os.read(self._keys, 65536).decode(errors="replace")
            except OSError:
                return
            if "\x1b[c" in text or "\x1b[0c" in text:
                os.write(self._keys, b"\x1b[?62c")  # fish asks what the terminal can do
            self.screen += ESCAPES.sub("", text)

    def close(self) -> None:
        """Hang up, as a closed window does."""
        if self.process.poll() is None:
            os.close(self._keys)
            self.process.wait(PATIENCE)
