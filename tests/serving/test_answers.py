"""What a server answers is what the classifier says; everything else is an error in one form."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from starlette.testclient import TestClient

import tubelet
from tests.serving.made import clip, limited, loaded, noise, saved, server
from tubelet.serving.service import Service


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def running(place: Path):
    videos = place / "videos"
    videos.mkdir()
    clip(videos / "a.mp4")
    (place / "models").mkdir()
    saved(place / "models" / "other", 7, answers="window", attention="joint")
    (place / "models" / "broken").mkdir()
    (place / "models" / "broken" / "config.json").write_text("{")
    admin = "administrator-of-tests"
    with server(place, root=videos, model_root=place / "models", admin_keys=(admin,), queue=4) as (
        client,
        service,
    ):
        yield client, service


@pytest.fixture
def client(running: Any) -> TestClient:
    return running[0]


@pytest.fixture
def service(running: Any, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The service; what a test sets of it with `monkeypatch` is put back."""
    monkeypatch.setattr(running[1], "settings", running[1].settings)
    return running[1]


@pytest.fixture(scope="module")
def video(place: Path) -> Path:
    return place / "videos" / "a.mp4"


def send(client: TestClient, file: Path, route: str = "/predict", **query: Any):
    return client.post(route, params=query, files={"file": (file.name, file.read_bytes())})


def flat(answer: dict[str, Any]) -> torch.Tensor:
    """All probabilities of an answer, by their names."""
    values: list[float] = []
    for part in [answer, *answer.get("windows", [])]:
        for head in sorted(part["heads"]):
            values += [p["probability"] for p in sorted(part["heads"][head], key=lambda p: p["label"])]
    return torch.tensor(values)


@pytest.mark.parametrize(("model", "views"), [("video", None), ("video", "3x1"), ("window", None)])
def test_answers_are_those_of_the_classifier(
    client: TestClient, place: Path, video: Path, model: str, views: str | None
) -> None:
    query = {"model": model} if views is None else {"model": model, "views": views}
    answer = send(client, video, **query).json()
    expected = loaded(place, model).predict(video, views).to_dict()
    torch.testing.assert_close(flat(answer), flat(expected), atol=1e-5, rtol=0)
    assert answer["video"] == "a.mp4"
    assert answer["model"] == model
    assert set(answer["seconds"]) == {"waited", "decoded", "model"}
    for part, wanted in zip(answer.get("windows", []), expected.get("windows", []), strict=True):
        assert part["start_seconds"] == wanted["start_seconds"]
        assert part["end_seconds"] == wanted["end_seconds"]


def test_requests_share_batches_and_keep_their_answers(
    client: TestClient, service: Service, place: Path, tmp_path: Path
) -> None:
    """While the model is busy four videos arrive; then they go through it together."""
    files = [clip(tmp_path / f"{i}.mp4", seed=i) for i in range(4)]
    free = threading.Event()
    with service.models.using("video") as served:
        served.worker.call(free.wait)
        found: dict[int, Any] = {}
        threads = [
            threading.Thread(target=lambda i=i: found.update({i: send(client, files[i], views="2x1").json()}))
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        waited = threading.Event()
        for _ in range(600):
            if served.worker.waiting() == 8 or waited.wait(0.1):
                break
        assert served.worker.waiting() == 8
        free.set()
        for thread in threads:
            thread.join()
    classifier = loaded(place, "video")
    for i, file in enumerate(files):
        wanted = classifier.predict(file, "2x1").to_dict()
        torch.testing.assert_close(flat(found[i]), flat(wanted), atol=1e-5, rtol=0)
    text = client.get("/metrics").text
    assert 'tubelet_batch_clips_sum{model="video"}' in text
    batches = service.metrics.batch.labels("video")
    assert batches._buckets[3].get() >= 1  # eight clips together


def test_a_full_server_says_when_to_come_again(client: TestClient, service: Service, video: Path) -> None:
    free = threading.Event()
    with service.models.using("video") as served:
        served.worker.call(free.wait)
        threads = [threading.Thread(target=send, args=(client, video)) for _ in range(4)]
        for thread in threads:
            thread.start()
        pause = threading.Event()
        while service.accepted < 4:
            pause.wait(0.05)
        answer = send(client, video)
        free.set()
        for thread in threads:
            thread.join()
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.json()["error"]["kind"] == "busy"
    assert send(client, video).status_code == 200


def test_ways_to_give_a_video(client: TestClient, video: Path) -> None:
    uploaded = send(client, video).json()
    named = client.post("/predict", json={"path": "a.mp4"}).json()
    torch.testing.assert_close(flat(uploaded), flat(named), atol=1e-6, rtol=0)
    sample = client.post("/predict", json={"sample": "pan_left"}, params={"model": "window"})
    assert sample.status_code == 200
    assert sample.json()["end_seconds"] == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"path": "../video/config.json"}, 403, "refused"),
        ({"path": "no.mp4"}, 404, "not_found"),
        ({"sample": "no"}, 404, "not_found"),
        ({"url": "http://169.254.169.254/"}, 403, "refused"),
        ({"path": "a.mp4", "sample": "pan_left"}, 400, "config"),
        ([], 400, "config"),
        ({"path": 3}, 400, "config"),
    ],
)
def test_what_is_not_given_is_said(client: TestClient, body: Any, status: int, kind: str) -> None:
    answer = client.post("/predict", json=body)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (status, kind)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"model": "no"}, 404),
        ({"views": "7"}, 400),
        ({"views": "1000x3"}, 400),
        ({"top": 0}, 400),
        ({"model": "window", "views": "2x1"}, 400),
    ],
)
def test_what_cannot_be_asked_is_said(client: TestClient, video: Path, query: Any, status: int) -> None:
    answer = send(client, video, **query)
    assert answer.status_code == status
    assert answer.json()["error"]["message"].endswith(".")


def test_files_that_are_no_videos(client: TestClient, tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no video")
    answer = send(client, text)
    assert answer.status_code == 422
    assert answer.json()["error"]["message"].startswith("notes.txt: cannot be opened as a video")
    assert "/proc" not in answer.text
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"
    )
    assert send(client, playlist).status_code == 422
    assert client.post("/predict", files={"file": ("a.mp4", b"")}).status_code == 422
    assert client.post("/predict", files={"other": ("a.mp4", b"1")}).status_code == 400
    assert (
        client.post("/predict", content=b"x", headers={"content-type": "multipart/form-data"}).status_code
        == 400
    )


@pytest.mark.parametrize(
    ("limit", "status", "words"),
    [
        ({"bytes": 500}, 413, "500 bytes"),
        ({"seconds": 0.5}, 422, "at most 0.5 s"),
        ({"pixels": 1000}, 422, "32x32 pixels"),
        ({"frames": 23}, 422, "24 frames"),
        ({"request_seconds": 0.001}, 504, "time"),
    ],
)
@pytest.mark.parametrize("route", ["/predict", "/timeline"])
def test_limits(
    client: TestClient, service: Service, video: Path, route: str, limit: Any, status: int, words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(service, "settings", limited(service, **limit))
    answer = send(client, video, route)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_nothing_is_left_of_files(client: TestClient, service: Service, video: Path) -> None:
    send(client, video)
    send(client, video, "/timeline")
    assert sorted(f.name for f in service.scratch.folder.iterdir()) == ["lock"]
    assert service.accepted == service.decoding == 0


def test_a_picture_that_is_large_is_read_and_a_bomb_is_not(
    client: TestClient, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = noise(tmp_path / "4k.mp4", 8, 2160, 3840)
    assert send(client, large, views="1x1").status_code == 200
    monkeypatch.setattr(service, "settings", limited(service, decoder_bytes=60 * 2**20))
    answer = send(client, large, views="1x1")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"] == "4k.mp4: reading it takes more than 60 MB of memory."
    assert send(client, service.settings.root / "a.mp4").status_code == 200
    assert 'tubelet_decoders_killed_total{reason="memory"}' in client.get("/metrics").text


def events(text: str) -> list[tuple[str, Any]]:
    """Those of a stream."""
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.parametrize("model", ["video", "window"])
def test_a_timeline_is_that_of_the_library(client: TestClient, place: Path, video: Path, model: str) -> None:
    answer = send(client, video, "/timeline", model=model, hop=2)
    assert answer.headers["content-type"].startswith("text/event-stream")
    found = events(answer.text)
    names = [name for name, _ in found]
    expected = tubelet.timeline(loaded(place, model), video, hop=2)
    assert names == ["start", *["window"] * len(expected.windows), "segments", "end"]
    assert found[0][1]["heads"][0] == {"name": "way", "kind": "single", "classes": ["left", "right", "none"]}
    assert found[0][1]["duration_seconds"] == pytest.approx(0.96, abs=0.05)
    segments = found[-2][1]
    wanted = expected.to_dict()
    for key in ("duration_seconds", "complete", "windows", "cuts", "heads", "segments"):
        assert segments[key] == wanted[key]
    curve = segments["probabilities"]["way"]
    place_of = [("left", "right", "none").index(c) for c in curve["classes"]]
    values = torch.tensor(expected.probabilities("way"))[:, place_of].T
    torch.testing.assert_close(torch.tensor(curve["values"]), values, atol=2e-5, rtol=0)
    label, probability = found[1][1]["heads"]["way"][0]
    assert probability == pytest.approx(float(expected.probabilities("way")[0].max()), abs=1e-4)
    assert label in ("left", "right", "none")


def test_a_video_that_breaks_off_keeps_what_was_seen(client: TestClient, tmp_path: Path) -> None:
    file = clip(tmp_path / "cut.mp4", frames=200)
    whole = file.read_bytes()
    # The table of frames stands at the end: with it in front, the pictures can be cut.
    moved = tmp_path / "cut.ts"
    import av

    with av.open(str(file)) as source, av.open(str(moved), "w", format="matroska") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    assert len(whole) > 0
    data = moved.read_bytes()
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data[: len(data) // 2])
    found = events(send(client, broken, "/timeline").text)
    assert [name for name, _ in found][-3:] == ["segments", "error", "end"]
    assert found[-2][1]["kind"] == "decode"
    assert found[-3][1]["complete"] is False


def test_explaining(client: TestClient, video: Path, tmp_path: Path) -> None:
    answer = send(client, video, "/explain", head="way", label="right", at_seconds=0.3)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Tubelet-Class"] == "way=right"
    film = tmp_path / "film.mp4"
    film.write_bytes(answer.content)
    with tubelet.Video(film) as found:
        assert len(found) == 4
    assert send(client, video, "/explain", head="no").status_code == 400


def test_what_there_is(client: TestClient) -> None:
    told = client.get("/models").json()
    assert told["default"] == "video"
    assert [m["name"] for m in told["models"]] == ["video", "window"]
    assert set(told["limits"]) == {"bytes", "seconds", "pixels", "frames", "request_seconds"}
    for sample in client.get("/samples").json():
        part = client.get(f"/samples/{sample['name']}.mp4", headers={"Range": "bytes=4-7"})
        assert (part.status_code, part.content) == (206, b"ftyp")
    assert client.get("/health").status_code == client.get("/ready").status_code == 200
    assert client.get("/").status_code == 200
    docs = client.get("/docs").text
    assert "/timeline" in docs
    assert "http://127.0.0.1" in docs
    assert "<script" not in docs
    assert "/predict" in client.get("/openapi.json").json()["paths"]
    assert client.get("/../pyproject.toml").status_code == 404
    assert client.get("/predict").status_code == 405


def test_models_are_exchanged_while_requests_wait(
    client: TestClient, service: Service, place: Path, video: Path
) -> None:
    """What was accepted before is answered by the old model, what comes after by the new one."""
    key = {"Authorization": "Bearer administrator-of-tests"}
    before = send(client, video, model="window").json()
    free = threading.Event()
    found: list[Any] = []
    with service.models.using("window") as old:
        old.worker.call(free.wait)
        asking = threading.Thread(target=lambda: found.append(send(client, video, model="window").json()))
        asking.start()
        pause = threading.Event()
        while not old.worker.waiting():
            pause.wait(0.05)
        refused = client.post("/models/window", json={"path": "broken"}, headers=key)
        assert refused.status_code == 400
        assert "stays as it was" in refused.json()["error"]["message"]
        assert client.post("/models/window", json={"path": "other"}).status_code == 401
        assert client.post("/models/window", json={"path": "other"}, headers=key).status_code == 200
        after = send(client, video, model="window").json()
        free.set()
        asking.join()
    torch.testing.assert_close(flat(found[0]), flat(before), atol=1e-5, rtol=0)
    wanted = tubelet.load(place / "models" / "other").predict(video).to_dict()
    torch.testing.assert_close(flat(after), flat(wanted), atol=1e-5, rtol=0)
    assert (flat(after) - flat(before)).abs().max() > 1e-3
    old.worker.join(10.0)
    assert old.retired
    assert not old.worker._thread.is_alive()


def test_a_client_that_goes_away_costs_nothing_more(
    client: TestClient, service: Service, video: Path
) -> None:
    """Its clips wait while the model is busy; when it is free they are not computed."""
    free = threading.Event()
    computed = service.metrics.batch.labels("video")
    before = computed._sum.get()
    with service.models.using("video") as served:
        served.worker.call(free.wait)
        body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
        body += video.read_bytes() + b"\r\n--b--\r\n"
        told = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            message = next(told, None)
            if message is None:
                import asyncio

                while not served.worker.waiting():
                    await asyncio.sleep(0.05)
                return {"type": "http.disconnect"}
            return message

        sent: list[Any] = []

        async def keep(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "POST", "path": "/predict", "query_string": b"", "state": {},
            "headers": [(b"host", b"localhost"), (b"content-type", b"multipart/form-data; boundary=b")],
        }  # fmt: skip
        assert client.portal is not None
        client.portal.call(client.app, scope, receive, keep)
        free.set()
    assert sent[0]["status"] == 499
    assert service.accepted == service.decoding == 0
    assert send(client, video, views="1x1").status_code == 200
    assert computed._sum.get() == before + 1


def test_a_server_that_is_to_stop_takes_nothing(
    client: TestClient, service: Service, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "draining", True)
    assert client.get("/ready").status_code == 503
    assert client.get("/health").status_code == 200
    answer = send(client, video)
    assert (answer.status_code, answer.json()["error"]["kind"]) == (503, "stopping")
