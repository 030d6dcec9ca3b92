"""A machine that is not there: its commands answer what was recorded, and are written down."""

import shlex
from collections.abc import Callable
from typing import Any

from bcfg2.client.configuration import Configuration
from bcfg2.client.tools.base import Context, Tool
from bcfg2.command import Finished
from bcfg2.options import Options
from bcfg2.options.types import Surroundings
from bcfg2.xml import Element, parse_string

#: What a command answers: its output; its exit status and standard error; or a function that gives one of these.
Answer = str | tuple[int, str] | Callable[[], Any]

SETTINGS = {
    "client_command_timeout": None,
    "client_command_output": 1 << 26,
    "logging_debug": False,
    "dry_run": False,
    "interactive": False,
    "quick": False,
    "kevlar": False,
    "remove": None,
    "service_mode": "default",
}


class Machine:
    """`answers`: how a command line begins -> what it answers; the longest beginning counts, others succeed silently.

    `commands`: the command lines that were run.  `questions`: what a person was asked, `reply` the answer.
    """

    def __init__(self, monkeypatch: Any, answers: dict[str, Answer] | None = None) -> None:
        self.answers = dict(answers or {})
        self.commands: list[str] = []
        self.questions: list[str] = []
        self.reply = True
        monkeypatch.setattr("bcfg2.client.tools.base.run", self._run)
        monkeypatch.setattr("bcfg2.client.tools.base.shutil.which", lambda program: program)

    def _run(self, argv: list[str], *_: Any, **__: Any) -> Finished:
        line = shlex.join(argv)
        self.commands.append(line)
        for beginning in sorted(self.answers, key=len, reverse=True):
            if line.startswith(beginning):
                answer = self.answers[beginning]
                answer = answer() if callable(answer) else answer
                if isinstance(answer, str):
                    return Finished(0, answer.encode(), b"")
                return Finished(answer[0], b"", answer[1].encode())
        return Finished(0, b"", b"")

    def ran(self, word: str) -> list[str]:
        """The commands that have WORD in them."""
        return [command for command in self.commands if word in shlex.split(command)]

    def tool(self, kind: type[Tool], entries: str, permits: Callable[[Element], bool] | None = None, **settings: Any):
        """The tool of class KIND on this machine, see :func:`tool_of`."""

        def ask(question: str) -> bool:
            self.questions.append(question)
            return self.reply

        return tool_of(kind, entries, permits or (lambda entry: True), ask, **settings)


def tool_of(
    kind: type[Tool],
    entries: str,
    permits: Callable[[Element], bool] = lambda entry: True,
    ask: Callable[[str], bool] = lambda question: True,
    **settings: Any,
):
    """The tool of class KIND for a bundle of ENTRIES, with SETTINGS, after it has looked at the machine once."""
    root = parse_string(f"<Configuration><Bundle name='b'>{entries}</Bundle></Configuration>", "configuration")
    around = Surroundings("/", "/root")
    defaults = {option.dest: option.default_value(around) for option in kind.options}
    tool = kind(Context(Options({**SETTINGS, **defaults, **settings}), Configuration(root), permits, ask))
    tool.refresh()
    return tool


def verified(tool: Tool) -> dict[str | None, bool]:
    """Name -> whether the entry is as it should be, for the complete entries of TOOL."""
    bundle = tool.configuration.structures[0]
    return {entry.get("name"): tool.verify(entry) for entry in tool.own_entries(bundle)}


def entry(tool: Tool, name: str) -> Element:
    """The entry called NAME."""
    return next(entry for entry in tool.configuration.entries if entry.get("name") == name)
