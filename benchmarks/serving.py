"""Load on a server of `tubelet serve`, beside the same model behind a plain app: throughput and waiting times.

`python benchmarks/serving.py --out benchmarks` starts both, each as processes of its own on loopback, and sends the
example clips to them in turn (A B A B) with 1, 8 and 32 clients, each of which sends its next clip when the last is
answered. The plain app is what one writes first: FastAPI, one request at a time under a lock, decoding in it.
"""

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
from rich.console import Console

from tubelet.benchmarks.machine import Machine
from tubelet.benchmarks.record import Record
from tubelet.benchmarks.turns import ratios

CLIENTS = (1, 8, 32)
CLIPS = Path(__file__).parents[1] / "examples" / "clips"
PLAIN = """
import sys, tempfile, threading
import uvicorn
from fastapi import FastAPI, UploadFile
import tubelet
classifier, lock, app = tubelet.load(sys.argv[1]), threading.Lock(), FastAPI()

@app.post("/predict")
def predict(file: UploadFile):
    with lock, tempfile.NamedTemporaryFile() as copy:
        copy.write(file.file.read())
        copy.flush()
        return classifier.predict(copy.name).to_dict()

@app.get("/ready")
def ready():
    return {}

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        port = self.servers[0].sockets[0].getsockname()[1]
        print(f"Listening at http://127.0.0.1:{port}.", file=sys.stderr, flush=True)

Server(uvicorn.Config(app, port=0, log_level="warning")).run()
"""
ABOUT = """`python benchmarks/serving.py`: the six example clips (4 s of 384x216 pixels) sent to {model} on loopback
by so many clients at a time, {seconds:g} s for each cell, {rounds} rounds in turn; each client sends its next clip
when the last is answered, and shares the processor with the server. *Plain* is the same `Classifier.predict` behind
FastAPI, one request at a time under a lock, decoding in the request. A clip takes {decode:.0f} ms to decode and
{model_ms:.0f} ms in the model where nothing else runs. All answers were checked to be the same to 1e-5."""


@dataclass(frozen=True)
class Run:
    """What a number of clients saw."""

    waits: list[float]
    """Seconds of each answer."""
    seconds: float

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return len(self.waits) / self.seconds

    def percentile(self, share: int) -> float:
        """Milliseconds within which so many of a hundred answers came."""
        return 1000 * statistics.quantiles(self.waits, n=100, method="inclusive")[share - 1]


class Program:
    """A server in a process of its own, until the end of a `with`."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        line = ""
        while not (found := re.search(r"http://[\d.]+:\d+", line)):
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError("The server did not start.")
        self.address = found[0]
        # What it logs must be read, or it would wait for that.
        self.log = subprocess.Popen(["cat"], stdin=self.process.stderr, stdout=subprocess.DEVNULL)

    def __enter__(self) -> "Program":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()
        self.log.wait()


async def load(address: str, clients: int, seconds: float, clips: list[bytes]) -> Run:
    waits: list[float] = []

    async def client(http: httpx.AsyncClient, number: int, end: float) -> None:
        turn = number
        while time.perf_counter() < end:
            begun = time.perf_counter()
            answer = await http.post(
                f"{address}/predict", files={"file": ("a.mp4", clips[turn % len(clips)])}
            )
            answer.raise_for_status()
            waits.append(time.perf_counter() - begun)
            turn += 1

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(timeout=600, trust_env=False, verify=False, limits=limits) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(client(http, number, begun + seconds) for number in range(clients)))
        return Run(waits, time.perf_counter() - begun)


def check_same(addresses: list[str], clips: list[bytes]) -> None:
    """Both answer the same, up to rounding."""
    for clip in clips:
        found = [
            httpx.post(f"{a}/predict", files={"file": clip}, timeout=600).json()["heads"] for a in addresses
        ]
        for head, answers in found[0].items():
            other = {a["label"]: a["probability"] for a in found[1][head]}
            for answer in answers:
                assert abs(other[answer["label"]] - answer["probability"]) < 1e-5, (head, answer, other)


def alone(model: str, file: Path) -> tuple[float, float]:
    """Milliseconds of decoding and of the model for a clip, by a process that does nothing else."""
    code = (
        "import sys, time, statistics, torch, tubelet\n"
        "c = tubelet.load(sys.argv[1])\n"
        "d, m = [], []\n"
        "for _ in range(7):\n"
        "    a = time.perf_counter()\n"
        "    with tubelet.Video(sys.argv[2]) as v: w = torch.stack([x.pixels for x in c.view.windows(v)])\n"
        "    b = time.perf_counter(); c.run(w); d.append(b - a); m.append(time.perf_counter() - b)\n"
        "print(1000 * statistics.median(d), 1000 * statistics.median(m))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code, model, str(file)], check=True, capture_output=True, text=True
    )
    decode, computed = map(float, out.stdout.split())
    return decode, computed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="the folder of serving.json")
    parser.add_argument("--model", default="camera-motion")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each cell in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS)
    options = parser.parse_args()
    begun = time.perf_counter()
    files = sorted(CLIPS.glob("*.mp4"))
    clips = [file.read_bytes() for file in files]
    decode, model_ms = alone(options.model, files[0])
    runs: dict[tuple[str, int], list[Run]] = {}
    with (
        Program("-c", PLAIN, options.model) as plain,
        Program("-m", "tubelet.cli", "serve", options.model, "--port", "0", "--queue", "256") as ours,
    ):
        programs = {"plain": plain.address, "tubelet serve": ours.address}
        check_same(list(programs.values()), clips)
        for _ in range(options.rounds):
            for clients in options.clients:
                for name, address in programs.items():
                    run = asyncio.run(load(address, clients, options.seconds, clips))
                    runs.setdefault((name, clients), []).append(run)
    rows: list[tuple[str, ...]] = []
    measured = {}
    for clients in options.clients:
        for name in programs:
            found = runs[name, clients]
            every = Run([w for r in found for w in r.waits], sum(r.seconds for r in found))
            base = runs["plain", clients]
            times = ratios([1 / r.rate for r in base], [1 / r.rate for r in found]).middle
            shares = [every.percentile(p) for p in (50, 95, 99)]
            rows.append(
                (f"{clients} {name}", f"{every.rate:.1f}", f"{times:.2f}x", *(f"{v:.0f} ms" for v in shares))
            )
            measured[f"{name}, {clients} clients"] = {
                "per_second": [r.rate for r in found],
                "waits": [[round(w, 5) for w in r.waits] for r in found],
            }
    about = ABOUT.format(
        model=options.model, seconds=options.seconds, rounds=options.rounds, decode=decode, model_ms=model_ms
    )
    record = Record(
        name="serving",
        title="Serving",
        about=about.replace("\n", " "),
        columns=("clients", "answers a second", "times plain", "p50", "p95", "p99"),
        rows=rows,
        machine=str(Machine.here()),
        seconds=time.perf_counter() - begun,
        measured=measured,
    )
    Console(width=140).print(record.table())
    if options.out:
        record.write(options.out)


if __name__ == "__main__":
    main()
