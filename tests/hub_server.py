"""A small hub on this machine: the few addresses of the real one's interface that a download uses."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = 1000
"""Bytes from which on a file counts as a large one, which the hub describes by its sha256."""


COMMIT = "a" * 40
"""What the branch main is at."""


class Hub:
    """Serves {(repository, revision): {path: bytes}}.

    `cut` gives, per path, bytes after which a reply breaks off; `sizes` what listings say of files that are too large
    to be served; `requests` are those of files: (command, path, range).
    """

    def __init__(self, repositories):
        self.repositories, self.cut, self.sizes, self.requests = repositories, {}, {}, []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                _, _, _, owner, name, _, revision = self.path.split("/")
                fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                files = hub.files(f"{owner}/{name}", unquote(revision))
                if files is None:
                    return self._reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                listed = [describe(path, files[path]) for path in fields["paths"] if path in files]
                return self._reply(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})

            def do_HEAD(self):
                self._file(body=False)

            def do_GET(self):
                _, *words = urlsplit(self.path).path.split("/")
                if words[:2] == ["api", "models"]:
                    return self._listing(*words[2:4], *map(unquote, words[4:]))
                return self._file(body=True)

            def _listing(self, owner, name, kind="revision", revision="main"):
                """Of the repository as a whole: its commit, or with kind "tree" all of its files."""
                files = hub.files(f"{owner}/{name}", revision)
                if files is None:
                    return self._reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
                listed = [describe(path, content) for path, content in files.items()]
                for entry in listed:
                    entry["size"] = hub.sizes.get(entry["path"], entry["size"])
                siblings = [{"rfilename": path} for path in files]
                whole = {"id": f"{owner}/{name}", "sha": COMMIT, "siblings": siblings}
                reply = json.dumps(listed if kind == "tree" else whole).encode()
                return self._reply(200, reply, {"Content-Type": "application/json"})

            def _file(self, body):
                owner, name, _, revision, *path = self.path.lstrip("/").split("/")
                path = unquote("/".join(path))
                content = (hub.files(f"{owner}/{name}", unquote(revision)) or {}).get(path)
                hub.requests.append((self.command, path, self.headers.get("Range")))
                if content is None:
                    return self._reply(404, b"", {"X-Error-Code": "EntryNotFound"})
                about = describe(path, content)
                etag = about["lfs"]["oid"] if "lfs" in about else about["oid"]
                headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
                if not body:
                    return self._reply(200, b"", headers | {"Content-Length": str(len(content))})
                start, code = 0, 200
                if self.headers.get("Range"):
                    start, code = int(self.headers["Range"].removeprefix("bytes=").split("-")[0]), 206
                    headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                part = content[start:]
                cut = hub.cut.pop(path, None)
                self._reply(code, part[:cut], headers | {"Content-Length": str(len(part))})
                if cut is not None:
                    self.close_connection = True
                return None

            def _reply(self, code, content, headers):
                self.send_response(code)
                for key, value in ({"Content-Length": str(len(content))} | headers).items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(content)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def files(self, repository, revision):
        """path -> bytes at a revision; None when there is no such."""
        return self.repositories.get((repository, "main" if revision == COMMIT else revision))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def describe(path, content):
    """A file as the hub's paths-info does it."""
    sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    about = {"type": "file", "path": path, "size": len(content), "oid": sha1}
    if len(content) >= LARGE:
        about["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return about
