"""The process that decoding children are forked from: everything they need is imported, and nothing else is here.

It holds no model, no key and no request but the one that it is handing over. `python -m tubelet.serving.zygote FD`
reads tasks from the socket FD until that is closed, then kills what still runs. Ctrl-C and SIGTERM are for the
server, which lets it finish what was accepted.

A task comes with three descriptors: the video, where the child is to write, and a channel. When the child has ended,
its exit status goes into the channel; a channel that is closed by the other side has its child killed.
"""

import ctypes
import fcntl
import gc
import os
import re
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tubelet.serving.child import INPUT, OUTPUT, decode, no_new_rights, warm_up
from tubelet.serving.task import Task

LENGTH = struct.Struct("<I")
STATUS = struct.Struct("<i")
"""An exit code, or minus a signal."""
READY = b"r"


@dataclass
class Zygote:
    """The children that run, by their process numbers; each with its channel."""

    control: socket.socket
    children: dict[int, socket.socket]
    selector: selectors.BaseSelector

    def run(self) -> None:
        """Until the server closes the control socket."""
        wake, alarm = os.pipe()
        os.set_blocking(alarm, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, nothing)
        signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
        self.selector.register(self.control, selectors.EVENT_READ)
        self.selector.register(wake, selectors.EVENT_READ)
        self.control.sendall(READY)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.control:
                    if not self.accept():
                        return
                elif key.fileobj == wake:
                    os.read(wake, 4096)
                elif key.data in self.children:
                    self.kill(key.data)
            self.reap()

    def accept(self) -> bool:
        """Fork a child for the next task; False where there is none any more."""
        data, descriptors, _, _ = socket.recv_fds(self.control, LENGTH.size, 3)
        if len(data) < LENGTH.size or len(descriptors) != 3:
            return False
        (length,) = LENGTH.unpack(data)
        text = bytearray()
        while len(text) < length:
            part = self.control.recv(length - len(text))
            if not part:
                return False
            text += part
        video, out, channel = descriptors
        child = os.fork()
        if not child:
            become_child(video, out)
            decode(Task.from_bytes(bytes(text)))
        os.close(video)
        os.close(out)
        self.children[child] = socket.socket(fileno=channel)
        self.selector.register(self.children[child], selectors.EVENT_READ, child)
        return True

    def kill(self, child: int) -> None:
        """Nobody waits for it any more. What it was is told by `reap`."""
        self.selector.unregister(self.children[child])
        os.kill(child, signal.SIGKILL)  # it is not reaped yet, so the number is still its own

    def reap(self) -> None:
        """Tell of children that have ended."""
        while self.children:
            child, status = os.waitpid(-1, os.WNOHANG)
            if not child:
                return
            channel = self.children.pop(child)
            if channel in self.selector.get_map():
                self.selector.unregister(channel)
            with suppress(OSError):  # who asked may be gone
                channel.sendall(STATUS.pack(os.waitstatus_to_exitcode(status)))
            channel.close()

    def end(self) -> None:
        """Kill what runs."""
        for child in self.children:
            os.kill(child, signal.SIGKILL)


def nothing(number: int, frame: FrameType | None) -> None:
    """A signal only wakes the loop."""


def become_child(video: int, out: int) -> None:
    """Keep these two descriptors, and nothing else of the zygote's."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Copies at high numbers first: one of the two may be in the place of the other.
    kept = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64) for descriptor in (video, out)]
    nowhere = os.open(os.devnull, os.O_RDWR)
    for source, target in ((nowhere, 0), (nowhere, 1), (nowhere, 2), (kept[0], INPUT), (kept[1], OUTPUT)):
        os.dup2(source, target)
    os.closerange(OUTPUT + 1, os.sysconf("SC_OPEN_MAX"))


MADV_COLLAPSE = 25
"""Linux 6.1 and later, of `madvise`: gather what is in small pages into huge ones, now."""
HUGE = 2**21
"""Bytes of a huge page."""
WRITABLE = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0\s*(\[heap\])?$")
"""A line of /proc/self/maps: memory of no file."""


def gather_memory() -> None:
    """Put this process's memory into huge pages, where the system can: a fork copies an entry for each page.

    Measured: 33 ms of processor time for a fork and its end before, 8 to 13 ms after.
    """
    if sys.platform != "linux":
        return
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    for line in Path("/proc/self/maps").read_text(encoding="utf-8", errors="replace").splitlines():
        if found := WRITABLE.match(line):
            begin, end = (int(part, 16) // HUGE * HUGE for part in (found[1], found[2]))
            begin += HUGE if begin < int(found[1], 16) else 0
            if begin < end:
                madvise(begin, end - begin, MADV_COLLAPSE)  # where it fails, all stays as it was


def main() -> None:
    """See above."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    no_new_rights()
    warm_up()
    gc.collect()
    gc.freeze()  # what is here stays shared with the children
    gather_memory()
    zygote = Zygote(control, {}, selectors.DefaultSelector())
    try:
        zygote.run()
    finally:
        zygote.end()
        os._exit(0)  # nothing is here that must be tidied up, and PyTorch takes its time for that


if __name__ == "__main__":
    main()
