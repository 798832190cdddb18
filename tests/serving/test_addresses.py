"""Videos from addresses: only what was allowed, only the public internet, never anywhere else."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tubelet.serving.addresses import Fetch, is_public, parsed
from tubelet.serving.problems import Problem


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True), ("2606:2800:220:1::1", True), ("127.0.0.1", False), ("10.1.2.3", False),
        ("192.168.1.1", False), ("172.16.0.1", False), ("169.254.169.254", False), ("100.64.0.1", False),
        ("0.0.0.0", False), ("224.0.0.1", False), ("255.255.255.255", False), ("240.0.0.1", False), ("::1", False),
        ("::", False), ("fe80::1", False), ("fe80::1%eth0", False), ("fc00::1", False), ("ff02::1", False),
        ("::ffff:127.0.0.1", False), ("::ffff:8.8.8.8", False),
        ("64:ff9b::7f00:1", False), ("64:ff9b::808:808", False),
        ("64:ff9b:1::1", False), ("2002:7f00:1::", False), ("2001:0:1::1", False), ("::127.0.0.1", False),
        ("192.0.2.1", False), ("198.18.0.1", False), ("localhost", False), ("", False),
    ],
)  # fmt: skip
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) == public


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("https://other.example/a.mp4", "refused"), ("https://video.example:444/a", "refused"),
        ("https://video.example.evil/a", "refused"), ("https://user:pw@video.example/a", "config"),
        ("https://video.example@evil.example/a", "config"), ("file:///etc/passwd", "config"),
        ("ftp://video.example/a", "config"), ("//video.example/a", "config"), ("https://video.example/a b", "config"),
        ("https://video.example/a\r\nX: y", "refused or config"), ("https://video.example:99999/a", "config"),
        ("https://127.0.0.1/", "refused"), ("https://[::1]/", "refused"), ("", "config"),
        ("https://video.example\\@evil.example/", "config"),
    ],
)  # fmt: skip
def test_addresses_that_are_not_asked(url: str, kind: str) -> None:
    with pytest.raises(Problem) as caught:
        parsed(url, ("video.example",))
    assert caught.value.kind in kind


def test_addresses_that_are() -> None:
    assert parsed("https://Video.example/a.mp4?b=c#d", ("video.example",)) == (
        "https", "video.example", 443, "/a.mp4?b=c",
    )  # fmt: skip
    assert parsed("http://h:8080", ("h:8080",)) == ("http", "h", 8080, "/")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/video")
            self.end_headers()
        elif self.path == "/none":
            self.send_error(404)
        else:
            self.send_response(200)
            if self.path == "/long":
                self.send_header("Content-Length", "5000")
            if self.path == "/short":
                self.send_header("Content-Length", "50")
            self.end_headers()
            if self.path == "/slow":
                for _ in range(100):
                    time.sleep(0.1)
                    self.wfile.write(b"x")
                    self.wfile.flush()
            self.wfile.write((self.headers["Host"] if self.path == "/host" else "video" * 4).encode())

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()


class Names:
    """Answers once with a good address, and then with another: what a name that is bound anew does."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, host: str, port: int) -> list[str]:
        self.asked += 1
        return ["127.0.0.1"] if self.asked == 1 else ["192.0.2.1"]


def fetched(
    port: int, path: str, seconds: float = 20.0, most_bytes: int = 100, allowed=lambda _: True
) -> bytes:
    names, out = Names(), io.BytesIO()
    fetch = Fetch(
        f"http://video.example:{port}{path}", (f"video.example:{port}",), most_bytes=most_bytes,
        deadline=time.monotonic() + seconds, resolver=names, allowed=allowed,
    )  # fmt: skip
    fetch.into(out)
    assert names.asked == 1
    return out.getvalue()


def test_a_video_is_fetched_from_the_address_that_was_checked(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://192.0.2.1:9")
    assert fetched(port, "/video") == b"video" * 4
    assert fetched(port, "/host") == f"video.example:{port}".encode()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/moved", "refused"), ("/none", "decode"), ("/long", "too_large"), ("/short", "decode")],
)
def test_what_is_no_video(port: int, path: str, kind: str) -> None:
    with pytest.raises(Problem) as caught:
        fetched(port, path)
    assert caught.value.kind == kind


def test_bytes_and_time_are_limited(port: int) -> None:
    with pytest.raises(Problem) as caught:
        fetched(port, "/video", most_bytes=19)
    assert caught.value.status == 413
    with pytest.raises(Problem) as caught:
        fetched(port, "/slow", seconds=0.5)
    assert caught.value.status == 504


def test_this_machine_is_not_asked(port: int) -> None:
    with pytest.raises(Problem, match="public internet"):
        fetched(port, "/video", allowed=is_public)


def test_all_addresses_of_a_name_are_checked() -> None:
    fetch = Fetch(
        "https://video.example/", ("video.example",), most_bytes=1, deadline=time.monotonic() + 5,
        resolver=lambda *_: ["93.184.216.34", "127.0.0.1"],
    )  # fmt: skip
    with pytest.raises(Problem, match="public internet"):
        fetch.into(io.BytesIO())


def test_a_certificate_of_another_name_is_refused(port: int) -> None:
    """A server without TLS stands for one with a wrong certificate: nothing is sent before the handshake."""
    fetch = Fetch(
        f"https://video.example:{port}/", (f"video.example:{port}",), most_bytes=1, deadline=time.monotonic() + 5,
        resolver=lambda *_: ["127.0.0.1"], allowed=lambda _: True,
    )  # fmt: skip
    with pytest.raises(Problem, match="SSLError"):
        fetch.into(io.BytesIO())
