"""A small stand-in for a hub of models: it speaks the protocol of huggingface_hub, for one model."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

COMMIT = "0" * 40


@contextmanager
def hub(folder: Path, name: str) -> Iterator[str]:
    """Serve the files of a folder as the model of that name; give the address."""

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, with_body: bool) -> None:
            code, body, headers = self._found()
            self.send_response(code)
            for key, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, value)
            self.end_headers()
            if with_body:
                self.wfile.write(body)

        def _found(self) -> tuple[int, bytes, dict[str, str]]:
            path = self.path.partition("?")[0]
            files = sorted(folder.iterdir())
            if path.startswith(f"/{name}/resolve/{COMMIT}/"):
                body = (folder / path.rpartition("/")[2]).read_bytes()
                return 200, body, {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if path.startswith(f"/api/models/{name}/tree/"):
                rows = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": ""} for f in files]
                return 200, json.dumps(rows).encode(), {}
            if path.startswith(f"/api/models/{name}/revision/"):
                return 200, json.dumps({"id": name, "sha": COMMIT, "siblings": []}).encode(), {}
            return 404, b"", {"X-Error-Code": "RepoNotFound"}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
