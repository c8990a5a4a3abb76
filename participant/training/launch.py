"""Gets a trainer for a participant: a process of its own, or one forked by the fork server.

Knows:    how to start a fork server that is dead (one starter at a time), and how to kill a trainer for certain.
Never:    imports numpy or torch: this runs in the service.
"""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import structlog

from participant.training import channel
from participant.training.channel import GarbledError, Inbox, Message
from participant.training.output import TaskOutput
from participant.training.reasons import Reason
from runtime.child import child_environment, child_line
from schemas.errors import FederationError, LocalError

HELLO_S = 120.0  # a busy machine may need a minute to import torch
SERVER_S = 30.0
PATH_BYTES_MAX = 100
_CREDENTIALS = struct.Struct("iII")  # struct ucred of <sys/socket.h>: pid, uid, gid

log = structlog.get_logger()


class TrainerLostError(FederationError):
    """The trainer died, was killed, or gave no sign for too long; the next request starts another one.

    took_s   how long it had been at the piece of work that was lost with it
    """

    def __init__(self, message: str, *, reason: Reason = Reason.DIED) -> None:
        super().__init__(message)
        self.reason, self.took_s = reason, 0.0


def garbled(error: GarbledError) -> TrainerLostError:
    """What becomes of a trainer that wrote such a thing."""
    return TrainerLostError(f"the trainer wrote what no trainer writes ({error}) and was killed", reason=Reason.GARBLED)


class Connection:
    """One trainer: its stream, and a handle that kills exactly this process."""

    def __init__(self, sock: socket.socket, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._sock, self._inbox, self._writer = sock, Inbox(reader), writer
        self.pid = 0
        self.loaded: set[str] = set()
        self._handle = -1
        self._child: subprocess.Popen[bytes] | None = None

    async def greet(self, pid: int, child: subprocess.Popen[bytes] | None = None) -> None:
        """Wait until the trainer is ready. Raises TrainerLostError when it does not get there.

        pid     the trainer's, as the kernel says it; 0 when it cannot be known
        child   its warden, when it is a child of this process
        """
        self.pid, self._child = pid, child
        with contextlib.suppress(OSError):
            self._handle = os.pidfd_open(pid)
        hello: Message | None = None
        try:
            async with asyncio.timeout(HELLO_S):
                hello = await self.receive()
        except TimeoutError:
            pass
        except BaseException:
            self.kill()
            raise
        if hello is None or hello["kind"] != "hello":
            self.kill()
            raise TrainerLostError("the trainer ended before it was ready")

    def send(self, message: Message, files: Sequence[int] = ()) -> None:
        """Hand a message over, open files with it. Raises TrainerLostError when the trainer does not take it."""
        try:
            if self._writer.transport.get_write_buffer_size():
                raise BlockingIOError
            self._writer.write(channel.send(self._sock, message, files))
        except BlockingIOError:
            raise TrainerLostError(
                "the trainer does not read what it is asked, and was killed", reason=Reason.HUNG
            ) from None
        except OSError:
            raise self.lost() from None

    async def receive(self) -> Message | None:
        """The next message, None when the trainer is gone. Raises TrainerLostError for anything else."""
        try:
            return await self._inbox.receive()
        except GarbledError as error:
            raise garbled(error) from None

    def lost(self) -> TrainerLostError:
        """What is known of the end of a trainer whose socket has closed. One that was forked tells nothing."""
        code = None
        if self._child is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = self._child.wait(timeout=1.0)  # it has closed its socket: it is ending
        if code == -signal.SIGKILL:
            return TrainerLostError("the trainer was killed; is the machine short of memory?", reason=Reason.KILLED)
        return TrainerLostError("the trainer died")

    def kill(self) -> None:
        """End the process now, and forget it. Its warden ends what the task has started, then itself."""
        self._writer.close()
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            os.close(self._handle)
            self._handle = -1
        if self._child is not None:
            try:
                self._child.wait(timeout=1.0)  # at once after SIGKILL; no zombie is left
            except subprocess.TimeoutExpired:
                self._child.kill()
            self._child = None


class Launcher:
    """Opens connections to trainers as the settings say."""

    def __init__(
        self,
        fork_server: Path | None,
        preload: Sequence[str],
        places: Sequence[Path] = (),
        *,
        output: TaskOutput | None = None,
    ) -> None:
        """`fork_server` is the path of its socket, None for a process of our own.

        output    takes what tasks print; None: it is lost
        preload   modules of tasks whose libraries it imports before it forks
        places    folders that these are found in, beside what is installed
        """
        if fork_server is not None and len(os.fsencode(fork_server)) > PATH_BYTES_MAX:
            raise LocalError(f"trainer.fork_server: {fork_server} is longer than {PATH_BYTES_MAX} bytes")
        self._path, self._preload, self._places = fork_server, tuple(preload), tuple(places)
        self._output = output
        self._failures = 0
        self._server: subprocess.Popen[bytes] | None = None

    async def open(self) -> Connection:
        """A trainer that said hello. Raises TrainerLostError; after two failures of the fork server it does without."""
        try:
            return await self._open()
        except OSError as error:
            raise TrainerLostError(f"no trainer can be started: {error.strerror}", reason=Reason.DISK) from error

    async def _open(self) -> Connection:
        if self._path is None or self._failures >= 2:
            return await self._own()
        try:
            connection = await self._forked(self._path)
        except TrainerLostError:
            self._failures += 1
            raise
        self._failures = 0
        return connection

    async def _own(self) -> Connection:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        try:
            with theirs, self._writing_end() as output:
                theirs.setblocking(True)
                child = _start_worker(theirs.fileno(), output)
        except OSError:
            ours.close()
            raise
        return await self._greeted(ours, child)

    async def _greeted(self, sock: socket.socket, child: subprocess.Popen[bytes] | None = None) -> Connection:
        """A trainer that is ready, whose output goes where it has to."""
        try:
            async with asyncio.timeout(HELLO_S):
                pid = await _sender(sock)
        except BaseException as error:
            sock.close()
            if child is not None:
                child.wait()
            if isinstance(error, TimeoutError):
                raise TrainerLostError("no trainer came within two minutes") from None
            raise
        connection = Connection(sock, *await asyncio.open_unix_connection(sock=sock))
        await connection.greet(pid, child)
        try:
            with self._writing_end() as output:
                connection.send({"kind": "output", "id": 0}, [output])
        except BaseException:
            connection.kill()
            raise
        return connection

    @contextlib.contextmanager
    def _writing_end(self) -> Iterator[int]:
        """Where one process may write; the descriptor is its own then."""
        handle = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC) if self._output is None else self._output.open()
        try:
            yield handle
        finally:
            os.close(handle)

    async def _forked(self, path: Path) -> Connection:
        sock = await _connect(path)
        if sock is None:
            async with _starting(path):
                sock = await _connect(path) or await self._start_server(path)
        return await self._greeted(sock)

    async def _start_server(self, path: Path) -> socket.socket:
        log.info("starting the fork server", socket=str(path))
        if self._server is not None:
            self._server.poll()  # no zombie is left of the one that died
        with self._writing_end() as output:
            self._server = _start_server(path, self._preload, self._places, output)
        for _ in range(int(SERVER_S / 0.05)):
            await asyncio.sleep(0.05)
            sock = await _connect(path)
            if sock is not None:
                return sock
        raise TrainerLostError(f"the fork server at {path} does not start")


def _start_worker(handle: int, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        child_line("participant.training.worker", "--fd", str(handle)),
        env=child_environment(os.environ),
        pass_fds=(handle,),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


def _start_server(path: Path, preload: Sequence[str], places: Sequence[Path], output: int) -> subprocess.Popen[bytes]:
    """In a session of its own: others use it too, so it does not end with this participant's group."""
    modules = [argument for module in preload for argument in ("--preload", module)]
    modules += [argument for place in places for argument in ("--look-in", str(place))]
    return subprocess.Popen(
        child_line("participant.training.fork_server", "--socket", str(path), *modules),
        env=child_environment(os.environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


async def _connect(path: Path) -> socket.socket | None:
    """A socket to the fork server, on which the kernel tells who writes; None when nobody serves there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        await asyncio.get_running_loop().sock_connect(sock, str(path))
    except (FileNotFoundError, ConnectionError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    return sock


async def _sender(sock: socket.socket) -> int:
    """The process that wrote the first byte, which stays unread, by the kernel's word; 0 when it does not say.

    SO_PEERCRED would name the fork server, which has bound the socket; a trainer is a child of it.
    Raises TrainerLostError when the other side is gone.
    """
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sock, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(sock)
    try:
        part, told, _, _ = sock.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_PEEK)
    except OSError:
        part, told = b"", []
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    if not part:
        raise TrainerLostError("the trainer ended before it was ready")
    for level, kind, data in told:
        if (level, kind, len(data)) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS, _CREDENTIALS.size):
            pid, uid, _ = _CREDENTIALS.unpack(data)
            return int(pid) if uid == os.getuid() else 0
    return 0


@contextlib.asynccontextmanager
async def _starting(path: Path) -> AsyncIterator[None]:
    """Be the only one that starts a server at `path`; the lock goes with the process that holds it."""
    file = await asyncio.to_thread(Path(f"{path}.start").open, "a")
    with file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                await asyncio.sleep(0.05)
        yield
