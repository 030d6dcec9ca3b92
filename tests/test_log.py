"""Logging: which line goes where, in which form; the debug switch."""

import io
import logging
import os
import re
import socket
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcfg2.log import (
    MAX_MESSAGE,
    MAX_TRACEBACK,
    Debuggable,
    SafeFormatter,
    SyslogHandler,
    escaped,
    log_file_descriptors,
    set_debug_logging,
    setup_logging,
)
from bcfg2.options import Options

logger = logging.getLogger("bcfg2.Test")


@pytest.fixture(autouse=True)
def untouched():
    """The root logger has only the handlers that a test sets up, and afterwards those that it had."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def options(**values) -> Options:
    names = ("debug", "verbose", "path", "syslog")
    return Options({f"logging_{name}": values.get(name) for name in names})


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    """A socket that stands for the syslog daemon."""
    address = str(tmp_path / "log.socket")
    monkeypatch.setattr(SyslogHandler, "local_socket", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(address)
        receiver.settimeout(10)
        yield receiver


def write_all() -> None:
    for level in ("debug", "info", "warning", "error"):
        getattr(logger, level)("a %s line", level)


def levels(text: str) -> list[str]:
    return re.findall(r"a (\w+) line", text)


# which lines go where


@pytest.mark.parametrize(
    ("values", "daemon_capable", "written"),
    [
        ({}, False, ["warning", "error"]),
        ({"verbose": True}, False, ["info", "warning", "error"]),
        ({}, True, ["info", "warning", "error"]),
        ({"debug": True}, False, ["debug", "info", "warning", "error"]),
        ({"debug": True}, True, ["debug", "info", "warning", "error"]),
    ],
)
def test_the_console_shows_messages_from_a_level_on(capsys, values, daemon_capable, written):
    setup_logging("prog", options(**values), daemon_capable=daemon_capable)
    write_all()
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "".join(f"a {level} line\n" for level in written)


def test_a_daemon_has_no_console(capsys, tmp_path):
    setup_logging("prog", options(path=str(tmp_path / "log")), daemon_capable=True, is_daemon=True)
    write_all()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ({}, ["warning", "error"]),
        ({"verbose": True}, ["info", "warning", "error"]),
        ({"debug": True}, ["debug", "info", "warning", "error"]),
    ],
)
def test_the_log_file_is_appended_to_from_a_level_on(tmp_path, values, written):
    path = tmp_path / "log"
    path.write_text("before\n")
    setup_logging("prog", options(path=str(path), **values))
    write_all()
    first, *rest = path.read_text().splitlines()
    assert first == "before"
    assert levels("\n".join(rest)) == written
    for line in rest:
        assert re.fullmatch(rf"\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d,\d+ bcfg2.Test: \[{os.getpid()}\] a \w+ line", line)


def test_a_new_log_file_is_for_its_owner_only(tmp_path):
    setup_logging("prog", options(path=str(tmp_path / "log")))
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_log_file_that_was_moved_away_is_made_anew(tmp_path):
    path = tmp_path / "log"
    setup_logging("prog", options(path=str(path)))
    logger.error("one")
    path.rename(tmp_path / "log.1")
    logger.error("two")
    assert "one" in (tmp_path / "log.1").read_text()
    assert "one" not in path.read_text()
    assert "two" in path.read_text()


def test_syslog_gets_information_and_worse_with_name_process_and_severity(daemon):
    setup_logging("prog", options(syslog=True), is_daemon=True, syslog=True)
    write_all()
    heads = {"info": 30, "warning": 28, "error": 27}
    for level, priority in heads.items():
        assert daemon.recv(1000).decode() == f"<{priority}>prog[{os.getpid()}]: a {level} line"


def test_syslog_gets_long_messages_in_pieces(daemon):
    setup_logging("prog", options(syslog=True), is_daemon=True, syslog=True)
    text = "".join(map(str, range(1000)))[:600]
    logger.error(text)
    pieces = [daemon.recv(1000).decode().partition("]: ")[2] for _ in range(3)]
    assert [len(piece) for piece in pieces] == [250, 250, 100]
    assert "".join(pieces) == text


@pytest.mark.parametrize(("asked", "wanted"), [(False, True), (True, False)])
def test_syslog_has_to_be_asked_for_by_command_and_option(daemon, asked, wanted):
    setup_logging("prog", options(syslog=wanted), is_daemon=True, syslog=asked)
    logger.error("x")
    daemon.setblocking(False)
    with pytest.raises(BlockingIOError):
        daemon.recv(1000)


def test_syslog_goes_to_a_restarted_daemon(daemon, tmp_path):
    setup_logging("prog", options(syslog=True), is_daemon=True, syslog=True)
    daemon.close()
    os.unlink(SyslogHandler.local_socket)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(SyslogHandler.local_socket)
        receiver.settimeout(10)
        logger.error("after")
        assert receiver.recv(1000).endswith(b"after")


def test_syslog_goes_by_udp_where_there_is_no_socket(monkeypatch, tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10)
        monkeypatch.setattr(SyslogHandler, "local_socket", str(tmp_path / "none"))
        monkeypatch.setattr(SyslogHandler, "udp_address", receiver.getsockname())
        setup_logging("prog", options(syslog=True), is_daemon=True, syslog=True)
        logger.error("x")
        assert receiver.recv(1000).endswith(b"]: x")


def test_a_syslog_daemon_that_takes_nothing_holds_nobody_up_for_long(daemon, monkeypatch):
    monkeypatch.setattr(SyslogHandler, "timeout", 0.05)
    setup_logging("prog", options(syslog=True), is_daemon=True, syslog=True)
    begun = time.monotonic()
    for _ in range(5000):
        logger.error("x" * 200)
    assert time.monotonic() - begun < SyslogHandler.pause
    received = 0
    daemon.settimeout(0.05)
    try:
        while daemon.recv(1000):
            received += 1
    except TimeoutError:
        pass
    assert 0 < received < 5000


# set up again, switched


def test_a_second_set_up_takes_the_place_of_the_first(capsys, tmp_path):
    setup_logging("prog", options(path=str(tmp_path / "one")))
    setup_logging("prog", options(path=str(tmp_path / "two")))
    logger.error("x")
    assert capsys.readouterr().err == "x\n"
    assert (tmp_path / "one").read_text() == ""
    assert (tmp_path / "two").read_text().endswith(" x\n")


@pytest.mark.parametrize("start", [False, True])
def test_debugging_is_switched_for_all_handlers(capsys, tmp_path, start):
    path = tmp_path / "log"
    setup_logging("prog", options(path=str(path), debug=start), daemon_capable=True)
    set_debug_logging(True)
    write_all()
    assert levels(capsys.readouterr().err) == levels(path.read_text()) == ["debug", "info", "warning", "error"]
    path.write_text("")
    set_debug_logging(False)
    write_all()
    assert levels(capsys.readouterr().err) == ["info", "warning", "error"]
    assert levels(path.read_text()) == ["warning", "error"]


def test_libraries_that_write_too_much_are_held_back(capsys):
    setup_logging("prog", options(debug=True))
    logging.getLogger("watchdog.observers.inotify_buffer").debug("in-event")
    logging.getLogger("sites.own.module").debug("wanted")
    assert capsys.readouterr().err == "wanted\n"


def test_a_daemon_can_keep_the_descriptors_of_file_and_syslog(daemon, tmp_path):
    setup_logging("prog", options(path=str(tmp_path / "log"), syslog=True), syslog=True)
    descriptors = log_file_descriptors()
    assert len(descriptors) == 2
    assert any(os.path.sameopenfile(number, os.open(tmp_path / "log", os.O_RDONLY)) for number in descriptors)
    assert sys.stderr.fileno() not in descriptors


# what may be in a line


def formatted(message, *arguments, **kwargs) -> str:
    record = logging.LogRecord("bcfg2.Test", logging.ERROR, "file.py", 1, message, arguments, kwargs.get("exc_info"))
    return SafeFormatter("%(name)s: %(message)s").format(record)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 漢", "plain é 漢"),
        ("a\nb", r"a\nb"),
        ("a\r\tb", r"a\r\tb"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("\x9b31m", r"\x9b31m"),
        ("\u2028\u202e", r"\u2028\u202e"),
        ("file\udcff", r"file\udcff"),
    ],
)
def test_control_characters_are_shown_escaped(text, shown):
    assert escaped(text) == shown
    assert formatted("client %s", text) == f"bcfg2.Test: client {shown}"


@given(st.text(st.characters()))
def test_a_message_is_one_printable_line_whatever_is_in_it(text):
    line = formatted("%s", text)
    assert line.splitlines() == [line]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", line)
    line.encode()


def test_a_long_message_is_cut():
    line = formatted("%s", "x" * (MAX_MESSAGE + 10))
    assert line == f"bcfg2.Test: {'x' * MAX_MESSAGE}... (10 characters more)"


def test_a_traceback_follows_in_indented_lines_of_limited_length():
    try:
        raise ValueError("one\nforged line\x1b" + "x" * MAX_TRACEBACK)
    except ValueError:
        first, *rest = formatted("failed", exc_info=sys.exc_info()).split("\n")
    assert first == "bcfg2.Test: failed"
    assert rest[0] == "    Traceback (most recent call last):"
    assert any(line.startswith(r"    forged line\x1bxxx") for line in rest)
    assert all(line.startswith("    ") for line in rest)
    assert sum(map(len, rest)) < MAX_TRACEBACK + 1000


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("message", "arguments", "shown"),
    [
        ("%d clients", ("three",), "%d clients (the rest of this message cannot be shown: TypeError)"),
        ("client %s", (Unshowable(),), "client %s (the rest of this message cannot be shown: RuntimeError)"),
        (Unshowable(), (), "Unshowable (the rest of this message cannot be shown: RuntimeError)"),
    ],
)
def test_a_message_that_cannot_be_put_together_is_not_lost(message, arguments, shown):
    assert formatted(message, *arguments) == f"bcfg2.Test: {shown}"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_are_wrapped_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    for stream, written in (
        (Terminal(), "one two three four\nfive six\n"),
        (io.StringIO(), "one two three four five six\n"),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        setup_logging("prog", options())
        logger.error("one two three four five six")
        assert stream.getvalue() == written


# failing handlers


def test_a_log_file_that_cannot_be_opened_is_named_and_the_console_stays(capsys, tmp_path):
    path = tmp_path / "none" / "log"
    setup_logging("prog", options(path=str(path)))
    assert capsys.readouterr().err == f"{path}: No such file or directory; nothing is logged to this file\n"
    logger.error("x")
    assert capsys.readouterr().err == "x\n"


def test_handlers_that_fail_stop_nobody(capsys, tmp_path, daemon):
    path = tmp_path / "folder" / "log"
    path.parent.mkdir()
    setup_logging("prog", options(path=str(path), syslog=True), syslog=True)
    path.unlink()
    path.parent.rmdir()
    daemon.close()
    logger.error("x")
    assert capsys.readouterr().err == "x\n"
    path.parent.mkdir()
    logger.error("y")
    assert path.read_text().endswith(" y\n")


def test_a_full_disk_stops_nobody(capsys):
    setup_logging("prog", options(path="/dev/full"))
    logger.error("x")
    setup_logging("prog", options())
    logger.error("y")
    assert capsys.readouterr().err == "x\ny\n"


def test_many_threads_write_whole_lines(tmp_path):
    setup_logging("prog", options(path=str(tmp_path / "log")), is_daemon=True)
    threads = [threading.Thread(target=lambda: [logger.error("a error line") for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = (tmp_path / "log").read_text().splitlines()
    assert len(lines) == 800
    assert all(line.endswith("a error line") for line in lines)


# the debug switch


class Part(Debuggable):
    pass


@pytest.mark.parametrize(
    ("given_value", "state"),
    [
        (True, True),
        (False, False),
        (1, True),
        (0, False),
        ("true", True),
        ("TRUE", True),
        ("false", False),
        ("1", False),
    ],
)
def test_debugging_is_set_by_boolean_number_or_word(given_value, state):
    part = Part()
    assert part.debug_flag is False
    part.debug_flag = not state
    assert part.set_debug(given_value) is state
    assert part.debug_flag is state


def test_debugging_is_toggled():
    part = Part()
    assert part.toggle_debug() is True
    assert part.toggle_debug() is False


@pytest.mark.parametrize(
    ("switch", "flag", "written"),
    [(True, None, True), (False, None, False), (False, True, True), (True, False, True), (False, False, False)],
)
def test_debug_messages_are_errors_so_that_they_show(capsys, switch, flag, written):
    setup_logging("prog", options())
    part = Part()
    part.set_debug(switch)
    part.debug_log("100% sure", flag)
    assert capsys.readouterr().err == ("100% sure\n" if written else "")


def test_debug_messages_go_to_the_logger_of_the_object(tmp_path):
    setup_logging("prog", options(path=str(tmp_path / "log")), is_daemon=True)
    part = Part()
    part.debug_log("one", True)
    part.logger = logging.getLogger("bcfg2.Mine")
    part.debug_log("two", True)
    one, two = (tmp_path / "log").read_text().splitlines()
    assert " bcfg2.Part: " in one
    assert " bcfg2.Mine: " in two


def test_debuggable_stands_beside_other_bases():
    class Other:
        def __init__(self) -> None:
            self.seen = True

    class Both(Debuggable, Other):
        pass

    assert Both().seen
    assert Both().debug_flag is False
    assert set(Both.__rmi__) == {"toggle_debug", "set_debug"}
