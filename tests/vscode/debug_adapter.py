"""A client of the Debug Adapter Protocol, as small as an editor's part in it can be."""

import ast
import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class DebugAdapter:
    """Starts debugpy's adapter, as the editor does, and speaks with it over its stdin and stdout."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "debugpy.adapter"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )
        self.messages: queue.Queue[Message] = queue.Queue()
        self.output = ""
        self.sent = 0
        self.put_off: list[Message] = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def send(self, command: str, **arguments: Any) -> int:
        """Send a request and return its number."""
        self.sent += 1
        request = {"seq": self.sent, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.process.stdin.flush()
        return self.sent

    def ask(self, command: str, **arguments: Any) -> Message:
        """Send a request and return the body of its response."""
        response = self.response(self.send(command, **arguments))
        assert response["success"], response
        return dict(response.get("body") or {})

    def response(self, number: int) -> Message:
        """Wait for the response to a request."""
        return self._wait_for(lambda message: message.get("request_seq") == number)

    def event(self, name: str) -> Message:
        """Wait for an event and return its body."""
        message = self._wait_for(lambda message: message.get("event") == name)
        return dict(message.get("body") or {})

    def close(self) -> None:
        """End the adapter, and with it what it started."""
        self.process.kill()
        self.reader.join()
        with self.process:  # closes its pipes
            pass

    def top_frame(self, thread: int) -> Message:
        """Return the frame on top of a stopped thread's stack."""
        return dict(self.ask("stackTrace", threadId=thread)["stackFrames"][0])

    def evaluate(self, expression: str, frame: Message) -> str:
        """Evaluate an expression, or execute a statement, in a frame."""
        return str(self.ask("evaluate", expression=expression, frameId=frame["id"], context="repl")["result"])

    def _wait_for(self, wanted: Any) -> Message:
        for message in self.put_off:
            if wanted(message):
                self.put_off.remove(message)
                return message
        while True:
            message = self.messages.get(timeout=90)
            if message.get("event") == "output":
                self.output += message["body"]["output"]
            if wanted(message):
                return message
            self.put_off.append(message)

    def _read(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while header := stream.readline():
            stream.readline()
            body: Message = json.loads(stream.read(int(header.split(b":")[1])))
            self.messages.put(body)


def first_line(path: Path, function: str) -> int:
    """Return the number of the first line in the body of a function, whatever stands above it."""
    nodes = ast.walk(ast.parse(path.read_text()))
    (found,) = [node for node in nodes if isinstance(node, ast.FunctionDef) and node.name == function]
    return found.body[ast.get_docstring(found) is not None].lineno
