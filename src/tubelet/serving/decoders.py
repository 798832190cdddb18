"""Videos of strangers, decoded by child processes: the server's side of `zygote.py`."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from threading import Lock
from typing import IO

from tubelet.errors import ConfigError
from tubelet.serving.metrics import Metrics
from tubelet.serving.problems import Problem
from tubelet.serving.task import Task
from tubelet.serving.wire import End, ForgedError, Message, Receiver, Trouble
from tubelet.serving.zygote import LENGTH, READY, STATUS

START_SECONDS = 120.0
"""For the zygote to import everything, on a busy machine."""
PIPE_BYTES = 2**20
"""That a child may be ahead, beside what it is about to write."""
KEPT_ENVIRONMENT = (
    "PATH",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "TMPDIR",
)
"""A child sees nothing else of the server's environment, which may hold keys."""


class Child:
    """A child at work on one video; read by one thread at a time, ended and let go by any."""

    def __init__(
        self, task: Task, pipe: int, channel: socket.socket, deadline: float, metrics: Metrics
    ) -> None:
        self.task = task
        self._pipe, self._channel, self._deadline, self._metrics = pipe, channel, deadline, metrics
        self._killed = ""
        # Held while the pipe is read: a number that is closed meanwhile may be the pipe of another's video next.
        self._reading = Lock()
        self._receiver = Receiver(self._read_into, task.view, task.limits)

    def messages(self) -> Iterator[Message]:
        """What it says of the video, without its end; the child has ended when this has.

        Raises:
            Problem: if the video cannot be read, or the child died of it.
        """
        try:
            while not isinstance(message := self._receiver.next(), End | Trouble):
                yield message
            if isinstance(message, End):
                yield message
                return
            if message.kind == "memory":
                self._metrics.killed.labels("memory").inc()
                raise Problem("decode", self._of_memory())
            raise Problem("decode" if message.kind == "decode" else "config", message.message)
        except EOFError:
            raise self._death() from None
        except ForgedError as error:
            self._metrics.killed.labels("forged").inc()
            raise Problem("decode", f"{self.task.name}: the decoder was taken over by it.") from error
        finally:
            self.close()

    def has_more(self) -> bool:
        """Whether a message, or a part of one, is there without waiting."""
        with self._reading:
            return self._pipe >= 0 and bool(select.select([self._pipe], [], [], 0)[0])

    def kill(self, why: str = "cancelled") -> None:
        """End it now; whoever reads from it learns that at once. May be called from any thread."""
        self._killed = self._killed or why
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let it go; where it still runs it is killed, and whoever reads from it learns that first."""
        self.kill()
        with self._reading:
            if self._pipe >= 0:
                os.close(self._pipe)
                self._pipe = -1
        self._channel.close()

    def _read_into(self, buffer: memoryview) -> None:
        with self._reading:
            if self._pipe < 0:
                raise EOFError
            poll = select.poll()
            poll.register(self._pipe, select.POLLIN)
            while buffer:
                left = self._deadline - time.monotonic()
                if left <= 0 or not poll.poll(left * 1000):
                    self.kill("wall")
                    raise EOFError
                count = os.readv(self._pipe, [buffer])
                if not count:
                    raise EOFError
                buffer = buffer[count:]

    def _death(self) -> Problem:
        """Why it ended without an answer, as an answer."""
        code: int | None = None
        if not self._killed:
            self._channel.settimeout(5.0)
            with suppress(OSError):
                data = self._channel.recv(STATUS.size)
                code = STATUS.unpack(data)[0] if len(data) == STATUS.size else None
        name, limits = self.task.name, self.task.limits
        if self._killed == "wall" or code == -signal.SIGALRM:
            reason, words = "wall", "reading it takes too long"
        elif self._killed:
            reason, words = self._killed, "reading it was ended"
        elif code == -signal.SIGXCPU:
            reason = "cpu"
            words = f"reading it takes more than {limits.decoder_seconds} s of a processor"
        elif code == -signal.SIGKILL:
            reason, words = "killed", "reading it was ended by the system, which was short of memory"
        elif code is None:
            self._metrics.killed.labels("zygote").inc()
            return Problem("internal", "The decoder was lost; it is started anew. Send the video again.")
        else:
            what = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            reason, words = "signal", f"the decoder crashed on it ({what})"
        self._metrics.killed.labels(reason).inc()
        if reason == "wall":
            return Problem("timeout", f"{name}: {words}.")
        return Problem("decode", f"{name}: {words}.")

    def _of_memory(self) -> str:
        most = self.task.limits.decoder_bytes // 2**20
        return f"{self.task.name}: reading it takes more than {most} MB of memory."


class Decoders:
    """Makes children; starts their zygote, and starts it anew where it is lost. For use by several threads."""

    def __init__(self, metrics: Metrics) -> None:
        if not hasattr(os, "fork") or not hasattr(socket, "send_fds"):
            raise ConfigError(
                "tubelet serve needs Linux or macOS, where videos are decoded in processes with limits of their own; "
                "on Windows run it in WSL or a container."
            )
        self._metrics = metrics
        self._lock = Lock()
        self._control: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the zygote, and wait until it can fork.

        Raises:
            ConfigError: if it does not start.
        """
        with self._lock:
            self._start()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        environment = {k: v for k, v in os.environ.items() if k in KEPT_ENVIRONMENT}
        environment |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tubelet.serving.zygote", str(theirs.fileno())]
        with theirs:
            self._process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
            )
        ours.settimeout(START_SECONDS)
        try:
            ready = ours.recv(1) == READY
        except TimeoutError:
            ready = False
        if not ready:
            ours.close()
            self._process.kill()
            self._process.wait()
            raise ConfigError("The process that decodes videos did not start; its error stands above.")
        ours.settimeout(10.0)
        self._control = ours

    def child(self, task: Task, video: IO[bytes], deadline: float) -> Child:
        """A child that is at work.

        Args:
            task: what it is to do.
            video: an open file.
            deadline: by `time.monotonic`; it is killed then.
        """
        task = replace(task, wall_seconds=max(deadline - time.monotonic(), 0.1))
        text = task.to_bytes()
        reading, writing = os.pipe()
        widen(writing)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._send(LENGTH.pack(len(text)), text, [video.fileno(), writing, theirs.fileno()])
            except BaseException:
                os.close(reading)
                ours.close()
                raise
            finally:
                os.close(writing)
        return Child(task, reading, ours, deadline, self._metrics)

    def _send(self, head: bytes, text: bytes, descriptors: list[int]) -> None:
        with self._lock:
            for again in (False, True):
                try:
                    if self._control is None:
                        self._start()
                    assert self._control is not None
                    socket.send_fds(self._control, [head], descriptors)
                    self._control.sendall(text)
                    return
                except OSError:
                    self._stop()
                    if again:
                        raise

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(5.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def close(self) -> None:
        """End the zygote and its children."""
        with self._lock:
            self._stop()


def widen(pipe: int) -> None:
    """Let more wait in a pipe, where the system can."""
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
