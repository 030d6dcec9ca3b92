"""The tool SELinux: records of the policy, and its modules.

Records are listed and changed by semanage (how these lists read is in `semanage`), modules by semodule; a module comes
as a file ``NAME.pp`` in the folder of the policy.
"""

import base64
import binascii
import os
import re
import shlex
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from bcfg2.client.configuration import title
from bcfg2.client.files.selinux import Policy
from bcfg2.client.tools.base import Context, InstallError, MissingPrerequisite, State, Tool
from bcfg2.client.tools.output import text_of
from bcfg2.client.tools.semanage import (
    KINDS,
    Identity,
    Record,
    delete_words,
    identity,
    parse_export,
    parse_list,
    set_words,
)
from bcfg2.xml import Element

SEMANAGE = "/usr/sbin/semanage"
SEMODULE = "/usr/sbin/semodule"
CONFIG = Path("/etc/selinux/config")
MODULES = Path("/usr/share/selinux")
MODULE = "SEModule"

_POLICY = re.compile(r"^\s*SELINUXTYPE\s*=\s*(\w+)", re.MULTILINE)
_TAGS = (*KINDS, MODULE)


class SELinux(Tool):
    """Entries SEBoolean, SEFcontext, SEInterface, SELogin, SEModule, SENode, SEPermissive, SEPort and SEUser."""

    handles: ClassVar = tuple((tag, None) for tag in _TAGS)
    required: ClassVar = {(tag, None): ("name", *kind.required) for tag, kind in KINDS.items()}
    needs: ClassVar = (SEMANAGE, SEMODULE)
    reported_if_wrong: ClassVar = {
        key: f"current_{key}"
        for key in ("value", "selinuxtype", "selinuxuser", "mlsrange", "proto", "roles", "prefix", "disabled")
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        if not Policy().enabled:
            raise MissingPrerequisite("SELinux is not enabled")
        self._records: dict[str, dict[Identity, Record]] = {}
        self._modules: dict[str, bool] | None = None

    # Looking

    def refresh(self) -> None:
        """Forget the lists, which are read when they are needed."""
        self._records.clear()
        self._modules = None

    def _list(self, tag: str) -> dict[Identity, Record]:
        """All records of TAG; :exc:`InstallError` if semanage cannot list them."""
        if tag not in self._records:
            listed = self.run_or_fail([SEMANAGE, KINDS[tag].noun, "-l", "-n"])
            self._records[tag] = parse_list(tag, text_of(listed))
        return self._records[tag]

    def _module_list(self) -> dict[str, bool]:
        if self._modules is None:
            self._modules = parse_modules(text_of(self.run_or_fail([SEMODULE, "--list-modules=full"])))
        return self._modules

    @cached_property
    def folder(self) -> Path:
        """The folder of the files of modules."""
        try:
            match = _POLICY.search(CONFIG.read_text())
        except OSError:
            match = None
        return MODULES / (match[1] if match else "targeted")

    def expected_state(self, entry: Element) -> State:
        """What the entry says, in the notation of lists."""
        if entry.tag == MODULE:
            disabled = (entry.get("disabled") or "false").lower()
            return {"disabled": disabled, "file": _content(entry), "mode": "0644 root:root"}
        kind = KINDS[str(entry.tag)]
        wanted = {key: entry.get(key, "") for key in (*kind.required, *kind.optional) if entry.get(key)}
        if "roles" in wanted:
            wanted["roles"] = " ".join(sorted(wanted["roles"].replace(",", " ").split()))
        return wanted

    def actual_state(self, entry: Element) -> State | None:
        """What the policy has."""
        if entry.tag != MODULE:
            return self._list(str(entry.tag)).get(identity(str(entry.tag), _attributes(entry)))
        name = module_name(entry)
        if name not in self._module_list():
            return None
        state: dict[str, object] = {"disabled": str(not self._module_list()[name]).lower()}
        try:
            with (self.folder / f"{name}.pp").open("rb") as file:
                info = os.fstat(file.fileno())
                state["file"] = file.read()
        except FileNotFoundError:
            return state
        owner = "root:root" if (info.st_uid, info.st_gid) == (0, 0) else f"{info.st_uid}:{info.st_gid}"
        state["mode"] = f"{info.st_mode & 0o7777:04o} {owner}"
        return state

    def describe(self, entry: Element) -> list[str]:
        """What is wrong; the content of modules is not for people."""
        lines = super().describe(entry)
        if entry.tag != MODULE:
            return lines
        found = self.differences.get(entry, {})
        words = [f"{key} is {found[key].found}, should be {found[key].wanted}" for key in found if key != "file"]
        return words + (["its file is another one"] if "file" in found else [])

    def find_extra(self) -> list[Element]:
        """The records that are customised here and the files of modules, without entries."""
        try:
            exported = parse_export(text_of(self.run_or_fail([SEMANAGE, "export"])))
        except InstallError as err:
            self.logger.error("What is customised cannot be listed: %s", err)
            exported = []
        named = {(str(entry.tag), self._identity(entry)) for entry in self.entries}
        make = self.configuration.root.makeelement
        extra = [make(tag, _as_attributes(tag, which)) for tag, which in exported if (tag, which) not in named]
        modules = {module_name(entry) for entry in self.entries if entry.tag == MODULE}
        files = sorted(path.stem for path in self.folder.glob("*.pp"))
        return extra + [make(MODULE, {"name": name}) for name in files if name not in modules]

    def _identity(self, entry: Element) -> Identity | None:
        try:
            return identity(str(entry.tag), _attributes(entry))
        except InstallError:
            return None

    # Changing

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Change all records in one transaction, all modules in another; if one fails, change them one by one."""
        results = dict.fromkeys(entries, False)
        records = self._commands([entry for entry in entries if entry.tag != MODULE], self._set)
        modules = self._commands([entry for entry in entries if entry.tag == MODULE], self._load)
        lines = "".join(f"{shlex.join(words)}\n" for words in records.values())
        results.update(self._together([SEMANAGE, "import"], lines.encode(), [SEMANAGE], records))
        together = [SEMODULE, *(word for words in modules.values() for word in words)]
        results.update(self._together(together, None, [SEMODULE], modules))
        self.modified.extend(entry for entry, good in results.items() if good)
        return results

    def _set(self, entry: Element) -> list[str]:
        exists = self.actual_state(entry) is not None
        if entry.tag == "SEBoolean" and not exists:
            raise InstallError("the policy has no such boolean")
        return set_words(str(entry.tag), _attributes(entry), exists=exists)

    def _load(self, entry: Element) -> list[str]:
        name = module_name(entry)
        path = self.folder / f"{name}.pp"
        content = _content(entry)
        _write(path, content)
        disabled = (entry.get("disabled") or "false").lower() == "true"
        return ["-i", str(path), "-d" if disabled else "-e", name]

    def _commands(self, entries: Sequence[Element], words: Callable[[Element], list[str]]) -> dict[Element, list[str]]:
        """Entry -> the words that install it, without those that cannot be."""
        commands = {}
        for entry in entries:
            try:
                self.logger.info("Installing %s", title(entry))
                commands[entry] = words(entry)
            except (InstallError, OSError) as err:
                self.logger.error("%s cannot be installed: %s", title(entry), err)
        return commands

    def _together(
        self, command: Sequence[str], stdin: bytes | None, program: Sequence[str], commands: dict[Element, list[str]]
    ) -> dict[Element, bool]:
        """Whether each of COMMANDS went well, all in one COMMAND or else each after PROGRAM."""
        if not commands:
            return {}
        if len(commands) > 1 and self.run(command, stdin=stdin).status == 0:
            return dict.fromkeys(commands, True)
        return {entry: self._succeeds(entry, [*program, *words]) for entry, words in commands.items()}

    def _succeeds(self, entry: Element, command: Sequence[str]) -> bool:
        try:
            self.run_or_fail(command)
        except InstallError as err:
            self.logger.error("%s: %s", title(entry), err)
            return False
        return True

    def remove(self, entries: Sequence[Element]) -> None:
        """Delete records; unload modules and delete their files."""
        for entry in entries:
            if entry.tag == MODULE:
                done = self._succeeds(entry, [SEMODULE, "-r", module_name(entry)])
                if done:
                    (self.folder / f"{module_name(entry)}.pp").unlink(missing_ok=True)
            else:
                done = self._succeeds(entry, [SEMANAGE, *delete_words(str(entry.tag), _attributes(entry))])
            if done:
                self.modified.append(entry)
                self.extra.remove(entry)


def parse_modules(output: str) -> dict[str, bool]:
    """Name -> whether the module is enabled, by the OUTPUT of ``semodule --list-modules=full``.

    Of a module that is there with several priorities, the first line counts, which has the highest.

    >>> parse_modules("400 site              pp\\n100 abrt              pp disabled\\n100 site  pp disabled\\n")
    {'site': True, 'abrt': False}
    """
    modules: dict[str, bool] = {}
    for words in (line.split() for line in output.splitlines()):
        if len(words) >= 3 and words[0].isdecimal():
            modules.setdefault(words[1], "disabled" not in words[3:])
    return modules


def module_name(entry: Element) -> str:
    """The name of the module that ENTRY is about, without the ending of its file."""
    return entry.get("name", "").removesuffix(".pp")


def _content(entry: Element) -> bytes:
    try:
        content = base64.b64decode(entry.text or "", validate=False)
    except (binascii.Error, ValueError) as err:
        raise InstallError(f"its content is not base64: {err}") from None
    if not content:
        raise InstallError("it has no content")
    return content


def _attributes(entry: Element) -> dict[str, str]:
    return {str(key): str(value) for key, value in entry.attrib.items()}


def _as_attributes(tag: str, which: Identity) -> dict[str, str]:
    return {"name": which.name, "filetype": which.filetype} if tag == "SEFcontext" else {"name": which.name}


def _write(path: Path, content: bytes) -> None:
    """Have CONTENT at PATH, whole or not at all, for everybody to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(descriptor, 0o644)
            if os.geteuid() == 0:
                os.fchown(descriptor, 0, 0)
            os.fsync(descriptor)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
