"""A Hugging Face Hub on the loopback: as much of its protocol as publishing and fetching a model needs."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

Files = dict[str, bytes]


class Hub(ThreadingHTTPServer):
    """Its models by id, each with its files; the requests it got; large files by their hash."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: dict[str, Files] = {}
        self.requests: list[str] = []
        self.large: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def commit(self, repo_id: str) -> str:
        """The commit that a model is at: another one whenever a file has changed."""
        files = self.models[repo_id]
        return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        self.server.requests.append(f"{self.command} {self.path}")

    def answer(self, content: Any = None, status: int = 200, head: bool = False, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.wfile.write(body)

    def body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts: list[bytes] = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def missing(self, head: bool, kind: str = "RepoNotFound") -> None:
        self.answer({"error": "not there"}, 404, head, X_Error_Code=kind)

    def do_HEAD(self) -> None:
        self.do_GET(head=True)

    def do_GET(self, head: bool = False) -> None:
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        api = parts[:2] == ["api", "models"]
        repo_id = "/".join(parts[2:4] if api else parts[:2])
        if repo_id not in self.server.models:
            return self.missing(head)
        files, commit = self.server.models[repo_id], self.server.commit(repo_id)
        if api and parts[4:5] == ["tree"]:
            entries = [
                {"type": "file", "path": n, "size": len(c), "oid": hashlib.sha1(c).hexdigest()}
                for n, c in files.items()
            ]
            return self.answer(entries, head=head)
        if api:
            revision = parts[5] if len(parts) > 5 else "main"
            if revision not in ("main", commit):
                return self.missing(head, "RevisionNotFound")
            siblings = [{"rfilename": name} for name in files]
            return self.answer({"id": repo_id, "sha": commit, "siblings": siblings}, head=head)
        name = "/".join(parts[4:])
        if name not in files:
            return self.missing(head, "EntryNotFound")
        etag = hashlib.sha256(files[name]).hexdigest()
        return self.answer(files[name], head=head, ETag=f'"{etag}"', X_Repo_Commit=commit)

    def do_PUT(self) -> None:
        content = self.body()
        self.server.large[hashlib.sha256(content).hexdigest()] = content
        self.answer({})

    def do_POST(self) -> None:
        body, path = self.body(), urlsplit(self.path).path
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo_id = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
            self.server.models.setdefault(repo_id, {".gitattributes": b""})
            self.answer({"url": f"{self.server.address}/{repo_id}"})
        elif path == "/api/validate-yaml":
            card = json.loads(body)["content"]
            front = yaml.safe_load(card.split("---\n")[1]) if card.startswith("---\n") else None
            errors = [] if front is None or "tags" in front else [{"message": "no tags"}]
            self.answer({"errors": errors, "warnings": []})
        elif path.endswith("/info/lfs/objects/batch"):
            objects = [
                {
                    "oid": o["oid"],
                    "size": o["size"],
                    "actions": {"upload": {"href": f"{self.server.address}/lfs/{o['oid']}"}},
                }
                for o in json.loads(body)["objects"]
            ]
            self.answer({"transfer": "basic", "objects": objects})
        elif "/preupload/" in path:
            modes = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                }
                for f in json.loads(body)["files"]
            ]
            self.answer({"files": modes})
        elif "/commit/" in path:
            repo_id = "/".join(path.split("/")[3:5])
            for line in body.decode().splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.server.models[repo_id][entry["value"]["path"]] = base64.b64decode(
                        entry["value"]["content"]
                    )
                elif entry["key"] == "lfsFile":
                    self.server.models[repo_id][entry["value"]["path"]] = self.server.large[
                        entry["value"]["oid"]
                    ]
            commit = self.server.commit(repo_id)
            self.answer(
                {
                    "success": True,
                    "commitOid": commit,
                    "commitUrl": f"{self.server.address}/{repo_id}/commit/{commit}",
                }
            )
        else:
            self.answer({"error": f"not known here: {path}"}, 404)


@contextmanager
def running() -> Iterator[Hub]:
    """A Hub that answers until the block ends."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
