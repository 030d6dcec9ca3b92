"""Logging: where the suite's lines go, and the debug switch of plugins and other parts.

Every logger is named ``bcfg2.<Name>`` and hands its records to the root logger, which :func:`setup_logging` gives up to
three handlers:

.. code-block:: text

    root logger --+-- ConsoleHandler   stderr; the message, wrapped on a terminal
                  +-- SyslogHandler    prog[pid]: message, in pieces
                  +-- LogFileHandler   time, logger, [pid], message; follows a rotated file

What clients send may turn up in a message.  All handlers therefore format with :class:`SafeFormatter`: one record is
one line, control characters are shown escaped, and the length is limited.
"""

import logging
import os
import re
import shutil
import socket
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from typing import Any, ClassVar, TextIO

from bcfg2.options import Options

#: Characters of a message, and of a traceback below it, that are written; what is longer is cut, with a note.
MAX_MESSAGE = 8192
MAX_TRACEBACK = 16384
#: Characters in one message to the syslog daemon.
SYSLOG_PIECE = 250

#: Libraries that write debug messages by the hundred.
_CHATTY = ("watchdog",)
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Debuggable:
    """Mix-in for what can be told to write debug messages; they are written as errors, so that they show at any level.

    A subclass may set `logger`; without it, messages go to the logger ``bcfg2.<class name>``.
    """

    #: Methods that the server offers over XML-RPC where the object is a plugin.
    __rmi__: ClassVar[list[str]] = ["toggle_debug", "set_debug"]

    debug_flag: bool = False
    logger: logging.Logger

    def __init__(self) -> None:
        super().__init__()
        self.debug_flag = False

    def set_debug(self, debug: Any) -> bool:
        """Switch debug messages on or off and return the new state.

        DEBUG is a boolean or a number, or a text, of which only ``true`` in any case means on.
        """
        self.debug_flag = debug.lower() == "true" if isinstance(debug, str) else bool(debug)
        return self.debug_flag

    def toggle_debug(self) -> bool:
        """Switch debug messages on if they are off, and the reverse; return the new state."""
        return self.set_debug(not self.debug_flag)

    def debug_log(self, message: str, flag: bool | None = None) -> None:
        """Write MESSAGE if debugging is on or FLAG is true."""
        if flag or self.debug_flag:
            logger = getattr(self, "logger", None) or logging.getLogger(f"bcfg2.{type(self).__name__}")
            logger.error("%s", message)


def escaped(text: str) -> str:
    """TEXT with control characters, line breaks and lone surrogates in Python's escaped notation."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def bounded(text: str, limit: int) -> str:
    """TEXT, or its first LIMIT characters and a note of how many are left out."""
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} characters more)"


class SafeFormatter(logging.Formatter):
    """Formats a record as one line that its data cannot break up; a traceback follows in indented lines."""

    def format(self, record: logging.LogRecord) -> str:
        record.message = escaped(bounded(_message(record), MAX_MESSAGE))
        if self.usesTime():
            record.asctime = self.formatTime(record, self.datefmt)
        return "\n".join([self.formatMessage(record), *self._traceback(record)])

    def _traceback(self, record: logging.LogRecord) -> Iterator[str]:
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        for text in (record.exc_text, record.stack_info):
            if text:
                yield from (f"    {escaped(line)}" for line in bounded(text, MAX_TRACEBACK).split("\n"))


def _message(record: logging.LogRecord) -> str:
    """The text of RECORD; a call whose arguments do not fit its text is not lost either."""
    try:
        return record.getMessage()
    except Exception as err:  # noqa: BLE001 - arguments are anybody's objects, and a log call never fails
        text = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        return f"{text} (the rest of this message cannot be shown: {type(err).__name__})"


class _Handler(logging.Handler):
    """What the suite's handlers have in common: the level that is in force while debugging is off."""

    quiet_level = logging.WARNING

    def descriptor(self) -> int | None:
        """The open descriptor that a daemon has to keep, if there is one."""
        return None

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over a line that cannot be written: a full disk or a dead syslog daemon stops nobody."""


class ConsoleHandler(_Handler, logging.StreamHandler[TextIO]):
    """Writes messages to standard error, on a terminal wrapped to its width."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if not self.stream.isatty():
            return text
        width = shutil.get_terminal_size().columns
        return "\n".join("\n".join(_wrapped(line, width)) for line in text.split("\n"))


def _wrapped(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, replace_whitespace=False, break_long_words=False, break_on_hyphens=False) or [""]


class LogFileHandler(_Handler, WatchedFileHandler):
    """Appends to a file, and to a new one after the file was moved away.  A new file is for its owner only."""

    def __init__(self, path: str) -> None:
        super().__init__(path, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> Any:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_open_private)

    def descriptor(self) -> int | None:
        return self.stream.fileno() if self.stream else None

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # the file cannot be opened again
            self.handleError(record)

    def close(self) -> None:
        with suppress(OSError):  # the disk is full, and what could not be written is given up
            super().close()


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


class SyslogHandler(_Handler):
    """Writes to the local syslog daemon: to its socket, or where there is none by UDP on this host.

    While the daemon takes nothing, lines are dropped: nobody waits for it for more than a second in :attr:`pause`.
    """

    local_socket = "/dev/log"
    udp_address = ("localhost", 514)
    #: Seconds that one message may take, and seconds without a further attempt after a failure.
    timeout = 1.0
    pause = 5.0

    _facility = 3 << 3  # daemon
    _severities = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def __init__(self, prog: str) -> None:
        super().__init__()
        self.prog = prog
        self._socket: socket.socket | None = None
        self._retry_at = 0.0
        with suppress(OSError):
            self._connect()

    def emit(self, record: logging.LogRecord) -> None:
        if time.monotonic() < self._retry_at:
            return
        try:
            for datagram in self._datagrams(record):
                self._send(datagram)
        except OSError:
            self._retry_at = time.monotonic() + self.pause
            self.handleError(record)

    def descriptor(self) -> int | None:
        return self._socket.fileno() if self._socket else None

    def close(self) -> None:
        if self._socket:
            self._socket.close()
            self._socket = None
        super().close()

    def _datagrams(self, record: logging.LogRecord) -> Iterator[bytes]:
        severity = next((number for level, number in self._severities if record.levelno >= level), 7)
        head = f"<{self._facility | severity}>{self.prog}[{record.process}]: "
        for line in self.format(record).split("\n"):
            for start in range(0, len(line), SYSLOG_PIECE):
                yield f"{head}{line[start : start + SYSLOG_PIECE]}".encode()

    def _send(self, datagram: bytes) -> None:
        """Send to the daemon, to a new one if it was restarted meanwhile; :exc:`OSError` if it takes nothing."""
        if self._socket:
            try:
                self._socket.send(datagram)
                return
            except TimeoutError:
                raise
            except OSError:
                self._socket.close()
        self._connect().send(datagram)

    def _connect(self) -> socket.socket:
        self._socket = None
        try:
            self._socket = _datagram_socket(socket.AF_UNIX, self.local_socket, self.timeout)
        except OSError:
            self._socket = _datagram_socket(socket.AF_INET, self.udp_address, self.timeout)
        return self._socket


def _datagram_socket(family: int, address: str | tuple[str, int], timeout: float) -> socket.socket:
    result = socket.socket(family, socket.SOCK_DGRAM)
    try:
        result.settimeout(timeout)
        result.connect(address)
    except OSError:
        result.close()
        raise
    return result


def setup_logging(
    prog: str, options: Options, *, daemon_capable: bool = False, is_daemon: bool = False, syslog: bool = False
) -> None:
    """Set up the handlers that OPTIONS ask for, in the place of those of an earlier call.

    DAEMON_CAPABLE: the command PROG could be a daemon, so its console shows information too.  IS_DAEMON: it is going to
    be one, and has no console.  SYSLOG: it has the option ``[logging] syslog``.  A log file that cannot be opened is
    named by an error line, and does without.
    """
    standard = logging.INFO if options.logging_verbose else logging.WARNING
    handlers: list[_Handler] = []
    if not is_daemon:
        handlers.append(_ready(ConsoleHandler(sys.stderr), logging.INFO if daemon_capable else standard, "%(message)s"))
    if syslog and options.logging_syslog:
        handlers.append(_ready(SyslogHandler(prog), logging.INFO, "%(message)s"))
    problem = None
    if options.logging_path:
        try:
            handler = LogFileHandler(options.logging_path)
        except OSError as err:
            problem = f"{options.logging_path}: {err.strerror}; nothing is logged to this file"
        else:
            handlers.append(_ready(handler, standard, "%(asctime)s %(name)s: [%(process)d] %(message)s"))

    _install(handlers)
    set_debug_logging(bool(options.logging_debug))
    if problem:
        logging.getLogger("bcfg2").error("%s", problem)


def set_debug_logging(on: bool) -> None:
    """Have all handlers write everything, or each what it writes while debugging is off."""
    root = logging.getLogger()
    for handler in _own_handlers():
        handler.setLevel(logging.DEBUG if on else handler.quiet_level)
    root.setLevel(min((handler.level for handler in root.handlers), default=logging.WARNING))


def log_file_descriptors() -> list[int]:
    """The open descriptors of log file and syslog, which a daemon must not close."""
    return [descriptor for handler in _own_handlers() if (descriptor := handler.descriptor()) is not None]


def _ready(handler: _Handler, quiet_level: int, layout: str) -> _Handler:
    handler.quiet_level = quiet_level
    handler.setFormatter(SafeFormatter(layout))
    return handler


def _own_handlers() -> list[_Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]


def _install(handlers: list[_Handler]) -> None:
    root = logging.getLogger()
    for old in _own_handlers():
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.INFO)
