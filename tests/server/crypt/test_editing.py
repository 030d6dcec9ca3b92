"""bcfg2-crypt --edit: an editor on a private copy."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from lxml import etree

from bcfg2.server.cipherformats import is_encrypted
from bcfg2.server.crypt import editing
from tests.server.crypt.conftest import RING, Bench
from tests.support import await_condition

Editor = Callable[[str], None]


def test_a_whole_file_is_edited_and_encrypted_with_the_passphrase_that_opened_it(bench: Bench, editor: Editor) -> None:
    path = bench.write("a.crypt", RING.encrypt("old", "dba"))
    path.chmod(0o640)
    editor("assert path.read_text() == 'old' and path.name == 'a'; path.write_text('new')")
    assert bench.crypt("--edit", path) == (0, b"", "", [])
    assert RING.decrypt(path.read_bytes(), "dba") == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(item.name for item in bench.folder.iterdir()) == ["a.crypt", "bcfg2.conf", "editor.py", "private"]


def test_only_changed_elements_of_a_document_are_encrypted_anew(bench: Bench, editor: Editor) -> None:
    kept = RING.encrypt(" kept ", "ops")
    content = f'<Properties>\n  <a encrypted="ops">{kept}</a>\n  <b encrypted="dba">{RING.encrypt("b", "dba")}</b>'
    path = bench.write("p.xml", f"{content}\n</Properties>\n")
    editor(
        "text = path.read_text(); assert '<a encrypted=\"ops\"> kept </a>' in text\n"
        "path.write_text(text.replace('>b<', '>B<').replace('</P', '<c encrypted=\"ops\">c</c></P'))"
    )
    assert bench.crypt("--edit", path).status == 0
    root = etree.fromstring(path.read_bytes())
    assert root.findtext("a") == kept
    assert [RING.decrypt(root.findtext(tag) or "", name) for tag, name in (("b", "dba"), ("c", "ops"))] == [b"B", b"c"]


def test_what_others_have_encrypted_stays_as_it_is(bench: Bench, editor: Editor) -> None:
    foreign = RING.encrypt("x", "dba")
    path = bench.write("p.xml", f'<Properties><a encrypted="them">{foreign}</a><b encrypted="ops">b</b></Properties>')
    editor("path.write_text(path.read_text().replace('>b<', '>B<'))")
    outcome = bench.crypt("--edit", path)
    assert outcome.status == 0
    assert 'line 1: <a encrypted="them"/> stays encrypted: ' in outcome.log[0]
    root = etree.fromstring(path.read_bytes())
    assert root.findtext("a") == foreign
    assert RING.decrypt(root.findtext("b") or "", "ops") == b"B"


def test_what_is_not_changed_is_not_written(bench: Bench, editor: Editor) -> None:
    path = bench.write("a.crypt", RING.encrypt("old", "dba"))
    before = path.read_bytes()
    editor("path.write_text('old')")
    outcome = bench.crypt("--edit", path)
    assert (outcome.status, path.read_bytes()) == (0, before)
    assert "nothing was changed" in outcome.log[0]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("path.write_text('new'); sys.exit(3)", r"failed \(exit status 3\), nothing is changed"),
        ("path.unlink()", "No such file"),
        ("path.write_text('<broken')", "not well-formed"),
        ("path.write_text('<Properties><a encrypted=\"nobody\">x</a></Properties>')", "no passphrase nobody"),
    ],
)
def test_what_cannot_be_used_changes_nothing(bench: Bench, editor: Editor, code: str, reason: str) -> None:
    path = bench.write("p.xml", f'<Properties><a encrypted="ops">{RING.encrypt("x", "ops")}</a></Properties>')
    before = path.read_bytes()
    editor(code)
    outcome = bench.crypt("--edit", path)
    assert outcome.status == 1
    assert path.read_bytes() == before
    assert re.search(reason, outcome.log[0])


def test_a_change_by_somebody_else_meanwhile_is_not_overwritten(bench: Bench, editor: Editor) -> None:
    path = bench.write("a.crypt", RING.encrypt("old", "ops"))
    editor(f"path.write_text('mine'); pathlib.Path({str(path)!r}).write_text('theirs')")
    outcome = bench.crypt("--edit", "-p", "ops", path)
    assert outcome.status == 1
    assert "changed by somebody else" in outcome.log[0]
    assert path.read_text() == "theirs"


def test_an_editor_that_is_not_there_is_named(bench: Bench, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor --wait")
    outcome = bench.crypt("--edit", bench.write("a.crypt", RING.encrypt("old", "ops")))
    assert outcome.status == 1
    assert "cannot run the editor no-such-editor --wait" in outcome.log[0]


def test_the_copy_and_its_folder_are_for_the_user_only(bench: Bench, editor: Editor) -> None:
    editor(
        "modes = [oct(p.stat().st_mode & 0o777) for p in (path, path.parent)]; path.write_text(' '.join(modes))"
        "\nassert 'o-phrase' not in str(dict(os.environ)) + str(sys.argv)"
    )
    path = bench.write("a.crypt", RING.encrypt("old", "ops"))
    before = os.umask(0)
    try:
        assert bench.crypt("--edit", path).status == 0
    finally:
        os.umask(before)
    assert RING.decrypt(path.read_bytes(), "ops") == b"0o600 0o700"


# being killed


class Running:
    """bcfg2-crypt --edit as a process, whose editor waits."""

    def __init__(self, bench: Bench, base: Path) -> None:
        path = bench.write("a.crypt", RING.encrypt("secret", "ops"))
        script = bench.write("waits.py", "import signal\nprint('ready', flush=True)\nsignal.pause()\n")
        environment = {**os.environ, "VISUAL": f"{sys.executable} {script}", "PYTHONPATH": os.getcwd()}
        code = (
            "import sys; from bcfg2 import bcfg2_crypt; from bcfg2.server.crypt import editing\n"
            f"editing._IN_MEMORY = ({str(base)!r},)\nsys.exit(bcfg2_crypt.main())"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, "-C", str(bench.folder / "bcfg2.conf"), "-p", "ops", "--edit", str(path)],
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n"

    def end(self) -> None:
        """End the editor, too."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_end_leaves_nothing(bench: Bench, private: Path, number: int) -> None:
    running = Running(bench, private)
    assert len(list(private.iterdir())) == 1
    running.process.send_signal(number)
    await_condition(lambda: running.process.poll() is not None)
    assert running.process.returncode == 128 + number
    assert list(private.iterdir()) == []
    running.end()


def test_what_a_killed_command_left_is_removed_by_the_next_one_and_not_before(bench: Bench, private: Path) -> None:
    running = Running(bench, private)
    other = bench.write("b", "B")
    bench.crypt("-p", "ops", other)
    (folder,) = private.iterdir()
    assert (folder / "a").read_text() == "secret"
    running.process.kill()
    running.process.wait()
    running.end()
    outcome = bench.crypt("-p", "ops", "--encrypt", other)
    assert outcome.log == [f"WARNING Removed {folder}, which a killed command had left"]
    assert list(private.iterdir()) == []
    assert is_encrypted((bench.folder / "a.crypt").read_bytes())


def test_nothing_but_folders_of_this_user_is_removed(private: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (private / "bcfg2-crypt-link").symlink_to(precious)
    (private / "bcfg2-crypt-file").write_text("x")
    (private / "other").mkdir()
    editing.remove_leftovers()
    assert len(list(private.iterdir())) == 3
    assert precious.exists()


def test_whoever_answers_may_edit_again(tmp_path: Path, private: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    os.write(leader, b"y\nn\n")
    script = tmp_path / "editor.py"
    script.write_text("import sys; open(sys.argv[1], 'a').write('+')")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {script}")
    seen: list[bytes] = []

    def use(content: bytes) -> None:
        seen.append(content)
        raise editing.CryptError("no good")

    with os.fdopen(follower, "r") as terminal, open(tmp_path / "asked", "w+") as asked:
        with pytest.raises(editing.CryptError, match="no good"):
            editing.edited("a", b"a", use, terminal, asked)
        asked.seek(0)
        assert asked.read().count("no good\nEdit again?") == 2
    os.close(leader)
    assert seen == [b"a+", b"a++"]
