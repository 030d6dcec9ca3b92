"""Plays the steps of one recorded case and compares every answer with the recording."""

import base64
import contextlib
import difflib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import time
import xmlrpc.client
from pathlib import Path
from typing import Any

from tests.conformance.folding import Names, fold, mask, output_lines
from tests.conformance.process import Authority, Server, free_port, tls_context

#: Seconds within which the right answer must come after a change in the repository.
SETTLE_LIMIT = 12.0
#: Pause between two tries of an answer that is not right yet.
RETRY_PAUSE = 0.2

#: Steps that change something and have no answer.
CHANGES = {"write", "delete", "move", "restart"}

Step = dict[str, Any]
Answer = dict[str, Any]


class Differs(AssertionError):
    """An answer that is not the recorded one."""


class Conversation:
    """The case in FOLDER, laid out in the empty folder WORK and played against COMMANDS.

    SETTLE: seconds that a changed repository may take to show; the first answer that differs after that ends the play.
    BACKEND: the core that serves where the case's bcfg2.conf names none.
    """

    def __init__(
        self,
        folder: Path,
        work: Path,
        commands: Path,
        authority: Authority,
        settle: float = SETTLE_LIMIT,
        backend: str = "builtin",
    ) -> None:
        self.work = work
        self.commands = commands
        self.authority = authority
        self.settle = settle
        self.backend = backend
        self.port = free_port()
        script = json.loads((folder / "case.json").read_text())
        self.steps: list[Step] = script["steps"]
        self.expected: dict[str, Answer] = json.loads((folder / "expected.json").read_text())
        self._lay_out(folder)
        self.names: Names = [
            (re.compile(re.escape(str(work))), "@CASE@"),
            (re.compile(rf"(?<!\d){self.port}(?!\d)"), "@PORT@"),
        ]
        self.env = os.environ | {"PATH": f"{commands}:{os.environ['PATH']}", "HOME": str(work)}
        self.env.pop("BCFG2_CONFIG_FILE", None)
        self.env |= {name: self._fill(value) for name, value in script.get("env", {}).items()}
        self.starts_server = not script.get("no_server")  # if not, a step may start it
        command = [str(commands / "bcfg2-server"), "-C", str(work / "bcfg2.conf")]
        self.server = Server(command, self.port, work, self.env)

    def _lay_out(self, folder: Path) -> None:
        shutil.copytree(folder, self.work, symlinks=True, dirs_exist_ok=True)
        for pem in (self.authority.key, self.authority.certificate):
            shutil.copy(pem, self.work)
        for path in (self.work / "bcfg2.conf", *self.work.glob("repo/**/*")):
            if path.is_file() and not path.is_symlink():
                with contextlib.suppress(UnicodeDecodeError):
                    text = path.read_bytes().decode()
                    if (filled := self._fill_file(path, text)) != text:
                        path.write_bytes(filled.encode())

    def _fill(self, text: str) -> str:
        return text.replace("@CASE@", str(self.work)).replace("@PORT@", str(self.port))

    def _fill_file(self, path: Path, text: str) -> str:
        """The content of the file PATH, of which the case says that it is TEXT."""
        return self._fill(with_backend(text, self.backend) if path == self.work / "bcfg2.conf" else text)

    def missing_commands(self) -> list[str]:
        """The commands of the suite that the steps use and that do not exist."""
        used = {step["argv"][0] for step in self.steps if step["do"] == "cli"}
        if self.starts_server or any(step["do"] == "restart" for step in self.steps):
            used.add("bcfg2-server")
        return sorted(name for name in used if not (self.commands / name).exists())

    def play(self) -> None:
        """Play all steps; :exc:`Differs` at the first wrong answer, ServerFailed if the server does not keep up."""
        if missing := self.missing_commands():
            raise Differs(f"no such command: {', '.join(missing)}")
        try:
            if self.starts_server:
                self.server.start()
            self._play_steps()
            self.server.stop()
        finally:
            self.server.kill()
            self._kill_daemons()

    def _play_steps(self) -> None:
        settled_at = 0.0
        for number, step in enumerate(self.steps, 1):
            action = getattr(self, f"_do_{step['do']}")
            key = f"{number:02d} {step.get('say') or step.get('method') or step['do']}"
            if step["do"] in CHANGES:
                action(step)
                settled_at = time.monotonic() + self.settle
                continue
            while (answer := self._folded(action(step), step)) != self.expected[key]:
                if time.monotonic() > settled_at:
                    difference = _difference(self.expected[key], answer)
                    raise Differs(f"step {key}\n{difference}{self.server.log_tail()}")
                time.sleep(RETRY_PAUSE)

    def _folded(self, answer: Answer, step: Step) -> Answer:
        folded: Answer = fold(answer, self.names)
        if "fault" in folded and not step.get("message"):
            folded.pop("message")  # the text is for people, the code is what programs rely on
        return mask(folded, step.get("mask", []))

    def _kill_daemons(self) -> None:
        """End the daemons that a step started and that no later step came to stop."""
        for file in self.work.rglob("*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(file.read_text())
                if str(self.work).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    # One method for each kind of step; those without an answer change something.

    def _do_rpc(self, step: Step) -> Answer:
        arguments = [self._fill(item) if isinstance(item, str) else item for item in step.get("args", [])]
        body = xmlrpc.client.dumps(tuple(arguments), step["method"], allow_none=True).encode()
        headers = {"Content-Type": "text/xml"}
        if step.get("auth", True):
            credentials = f"{step.get('user', 'root')}:{step.get('password', 'secret')}"
            headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        certificate = self.authority.client_certificate(step["cert"]) if "cert" in step else None
        connection = http.client.HTTPSConnection(
            *("127.0.0.1", self.port), timeout=step.get("timeout", 60), context=tls_context(certificate),
            source_address=(step.get("from", "127.0.0.1"), 0),
        )  # fmt: skip
        with contextlib.closing(connection):
            try:
                connection.request("POST", "/", body, headers)
                reply = connection.getresponse()
                data = reply.read()
            except (OSError, http.client.HTTPException) as err:
                return {"error": type(err).__name__}
        if reply.status != 200:
            return {"http": reply.status}
        try:
            return {"value": xmlrpc.client.loads(data)[0][0]}
        except xmlrpc.client.Fault as fault:
            return {"fault": fault.faultCode, "message": fault.faultString}

    def _do_cli(self, step: Step) -> Answer:
        command, *arguments = (self._fill(argument) for argument in step["argv"])
        process = subprocess.Popen(
            [str(self.commands / command), *arguments], cwd=self.work, env=self.env, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        try:
            output, _ = process.communicate(self._fill(step.get("stdin", "")), timeout=step.get("timeout", 90))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return {"error": "TimeoutExpired"}
        answer: Answer = {"exit": process.returncode}
        if step.get("stdout", True):
            answer["stdout"] = output_lines(output, sort=step.get("sorted", False))
        for name in step.get("files", []):
            answer[name] = self._content(name)
        return answer

    def _do_file(self, step: Step) -> Answer:
        return {"value": self._content(step["path"])}

    def _content(self, name: str) -> str | None:
        path = self.work / name
        return path.read_text(errors="replace") if path.exists() else None

    def _do_write(self, step: Step) -> None:
        path = self.work / step["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._fill_file(path, step["text"]))
        if "mode" in step:
            path.chmod(int(step["mode"], 8))

    def _do_delete(self, step: Step) -> None:
        path = self.work / step["path"]
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()

    def _do_move(self, step: Step) -> None:
        (self.work / step["path"]).rename(self.work / step["to"])

    def _do_restart(self, _step: Step) -> None:
        self.server.stop()
        self.server.start()


def with_backend(conf: str, backend: str) -> str:
    """The text CONF of a bcfg2.conf, with BACKEND, and two children for it, where it names none."""
    if backend == "builtin" or re.search(r"(?m)^backend\s*[=:]", conf):
        return conf
    section = "[server]\n"
    lines = f"backend = {backend}\n" + ("children = 2\n" if backend == "multiprocessing" else "")
    return conf.replace(section, section + lines, 1) if section in conf else f"{conf}\n{section}{lines}"


def _difference(expected: Answer, answer: Answer) -> str:
    def lines(value: Answer) -> list[str]:
        return json.dumps(value, indent=1, ensure_ascii=False).replace("\\n", "\n").splitlines()

    found = difflib.unified_diff(lines(expected), lines(answer), "recorded", "answered", lineterm="", n=1)
    return "\n".join(list(found)[:60])
