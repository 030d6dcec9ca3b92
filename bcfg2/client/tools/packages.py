"""What the tools for packages have in common: what is installed is read as one list, and compared.

A tool says how the list is read (:meth:`PackageTool.list_installed`), which versions may be had
(:meth:`PackageTool.newest`), how the content of a package is checked (:meth:`PackageTool.changed_files`), and the
commands that install and remove (:meth:`PackageTool.install_command`, :meth:`PackageTool.remove_command`).  Many
packages are one command; if that fails each gets one of its own, so that one that cannot be had costs no other.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar, TypeAlias

from bcfg2.client.configuration import title
from bcfg2.client.tools.base import Context, InstallError, State, Tool, names_of
from bcfg2.xml import Element

#: Name -> installed versions, of which the last one counts where only one can.
Installed: TypeAlias = Mapping[str, Sequence[str]]

INTACT = "intact"


class PackageTool(Tool):
    """A tool for entries ``Package`` of one type, the first of those that it handles.

    `installed`: what is installed, as of the last look.
    """

    reported_if_wrong: ClassVar = {"version": "current_version"}
    #: Changed files of a package can be found.
    checks_content: ClassVar = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._installed: Installed | None = None
        self._contents: dict[tuple[str, str], str] = {}
        self._looked = False

    # What a subclass says

    def list_installed(self) -> Installed:
        """Read what is installed; :exc:`InstallError` if that cannot be done."""
        raise NotImplementedError

    def newest(self, name: str) -> str | None:
        """The version of NAME that ``auto`` means if it is not the installed one; None: it is."""
        return None

    def changed_files(self, name: str, version: str) -> list[str]:
        """The files of an installed package that have been changed; :exc:`InstallError` if that cannot be told."""
        return []

    def install_word(self, entry: Element) -> str:
        """What the package is called on the command line; :exc:`InstallError` if it cannot be installed."""
        return entry.get("name", "")

    def install_command(self, words: Sequence[str]) -> list[str]:
        """The command that installs the packages called WORDS."""
        raise NotImplementedError

    def remove_command(self, names: Sequence[str]) -> list[str]:
        """The command that removes the packages NAMES."""
        raise NotImplementedError

    def canonical(self, name: str) -> str:
        """The name under which the package NAME of an entry is listed."""
        return name

    # Looking

    @property
    def package_type(self) -> str:
        """The type of the packages."""
        return str(self.handles[0][1])

    @property
    def packages(self) -> list[Element]:
        """The entries for packages."""
        return [entry for entry in self.entries if entry.tag == "Package"]

    @property
    def installed(self) -> Installed:
        """What is installed; :exc:`InstallError` if it could not be read."""
        if self._installed is None:
            raise InstallError("the list of installed packages could not be read")
        return self._installed

    def look_again(self) -> None:
        """Read the list of installed packages."""
        try:
            self._installed = self.list_installed()
        except InstallError as err:
            self._installed = None
            self.logger.error("The list of installed packages cannot be read: %s", err)

    def refresh(self) -> None:
        """Read the list, and at the first time, when all packages are going to be verified, check some side by side."""
        self.look_again()
        self._contents.clear()
        if not self._looked and self._installed is not None and self.checks_content:
            self._check_contents()
        self._looked = True

    def _check_contents(self) -> None:
        """Check the content of all packages for which it counts, as many at a time as there are processors."""
        wanted = [entry for structure in self.configuration.structures for entry in self.own_entries(structure)]
        right = [entry for entry in wanted if entry.tag == "Package" and self._is_checked(entry) and self._right(entry)]
        with ThreadPoolExecutor(os.cpu_count() or 1, "packages") as pool:
            keys = {(self.canonical(entry.get("name", "")), self.wanted_version(entry) or "") for entry in right}
            self._contents.update(pool.map(lambda key: (key, self._content(*key)), keys))

    def _content(self, name: str, version: str) -> str:
        """What is to be said of the content of a package: that it is intact, or what is wrong with it."""
        managed = self.configuration.path_names
        try:
            changed = self.changed_files(name, version)
        except InstallError as err:
            return str(err)
        wrong = [path for path in changed if path not in managed and os.path.realpath(path) not in managed]
        return f"changed: {', '.join(wrong)}" if wrong else INTACT

    def _is_checked(self, entry: Element) -> bool:
        """Whether the content of the package counts."""
        return self.checks_content and not self.settings.quick and entry.get("verify", "true").lower() != "false"

    def wanted_version(self, entry: Element) -> str | None:
        """The version that ENTRY asks for; None if that is any one, of a package that is not installed."""
        version = entry.get("version")
        if version not in ("any", "auto"):
            return version
        name = self.canonical(entry.get("name", ""))
        have = self.installed.get(name)
        newest = self.newest(name) if version == "auto" else None
        return newest or (have[-1] if have else None)

    def _right(self, entry: Element) -> bool:
        """Whether the package is installed in the right version."""
        versions = self.installed.get(self.canonical(entry.get("name", "")), ())
        return bool(versions) and self.wanted_version(entry) in versions

    def expected_state(self, entry: Element) -> State:
        """The version, with its content as it was installed; of an ignored path nothing."""
        if entry.tag != "Package":
            return {}
        return {"version": self.wanted_version(entry), "content": INTACT}

    def actual_state(self, entry: Element) -> State | None:
        """The installed version and its content, which is taken for intact where it does not count."""
        if entry.tag != "Package":
            return {}
        name = self.canonical(entry.get("name", ""))
        versions = self.installed.get(name)
        if not versions:
            return None
        wanted = self.wanted_version(entry)
        if wanted not in versions:
            return {"version": versions[-1], "content": INTACT}
        if not self._is_checked(entry):
            return {"version": wanted, "content": INTACT}
        key = (name, str(wanted))
        if key not in self._contents:
            self._contents[key] = self._content(*key)
        return {"version": wanted, "content": self._contents[key]}

    def describe(self, entry: Element) -> list[str]:
        """What is wrong with the package."""
        found = self.differences.get(entry, {})
        if "exists" in found:
            return [f"is not installed, should be {entry.get('version')}"]
        lines = []
        if "version" in found:
            lines.append(f"version {found['version'].found} is installed, should be {found['version'].wanted}")
        if "content" in found:
            lines.append(str(found["content"].found))
        return lines

    def question(self, entry: Element) -> str:
        """Name the versions, from and to."""
        found = self.differences.get(entry, {})
        if "version" not in found:
            return super().question(entry)
        have = found["version"].found or "none"
        wanted = found["version"].wanted or entry.get("version")
        return f"Install Package: {entry.get('name')} (version {have} -> {wanted})? (y/N): "

    def find_extra(self) -> list[Element]:
        """The installed packages without an entry."""
        if self._installed is None:
            return []
        named = {self.canonical(entry.get("name", "")) for entry in self.packages}
        extra = ((name, versions) for name, versions in sorted(self._installed.items()) if name not in named)
        about = ((name, {"type": self.package_type, "current_version": versions[-1]}) for name, versions in extra)
        return self.extra_elements("Package", about)

    # Changing

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        """Install all with one command; if that fails, each that is not right then with its own."""
        words = self._words(entries)
        failed: set[Element] = set()
        if words and not self._succeeds(self.install_command(list(words.values()))):
            self.look_again()
            for entry, word in words.items():
                if self._is_right(entry) and not self._has_changed(entry):
                    continue
                if len(words) == 1 or not self._succeeds(self.install_command([word])):
                    failed.add(entry)
        self.look_again()
        results = {entry: entry in words and self._is_right(entry) for entry in entries}
        for entry in failed:
            results[entry] = results[entry] and not self._has_changed(entry)
        for entry in (entry for entry in words if not results[entry]):
            self.logger.error("%s is not as it should be after its installation", title(entry))
        self.modified.extend(entry for entry in entries if results[entry])
        return results

    def _words(self, entries: Iterable[Element]) -> dict[Element, str]:
        words = {}
        for entry in entries:
            try:
                if entry.get("name", "").startswith("-"):
                    raise InstallError("a name that begins with a dash would be an option of the command")
                words[entry] = self.install_word(entry)
            except InstallError as err:
                self.logger.error("%s cannot be installed: %s", title(entry), err)
            else:
                self.logger.info("Installing %s", title(entry))
        return words

    def _is_right(self, entry: Element) -> bool:
        try:
            return self._right(entry)
        except InstallError:
            return False

    def _has_changed(self, entry: Element) -> bool:
        return "content" in self.differences.get(entry, {})

    def _succeeds(self, command: Sequence[str]) -> bool:
        try:
            self.run_or_fail(command, environment=self.environment)
        except InstallError as err:
            self.logger.error("%s", err)
            return False
        return True

    #: What commands that change something find in their environment besides the agent's own.
    environment: ClassVar[Mapping[str, str]] = {}

    def remove(self, entries: Sequence[Element]) -> None:
        """Remove all with one command, or if that fails each with its own; what is gone is modified, and not extra."""
        names = names_of(entries)
        if names and not self._succeeds(self.remove_command(names)) and len(names) > 1:
            self.look_again()
            for name in names:
                if self._installed is None or name in self._installed:
                    self._succeeds(self.remove_command([name]))
        self.look_again()
        if self._installed is not None:
            gone = [entry for entry in entries if entry.get("name") not in self._installed]
            self.modified.extend(gone)
            self.extra = [entry for entry in self.extra if entry not in gone]


def is_exact(entry: Element) -> bool:
    """Whether ENTRY asks for one version."""
    return entry.get("version") not in ("any", "auto")
