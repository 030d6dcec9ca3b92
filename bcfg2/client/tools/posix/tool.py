"""The tool itself: what the run calls, given on to the type of each path."""

import base64
import os
from collections.abc import Sequence
from typing import Any, ClassVar

from bcfg2.client.configuration import title
from bcfg2.client.files import Node, opened_folder, remove_leftovers, selinux
from bcfg2.client.tools.base import Context, Difference, InstallError, State, Tool
from bcfg2.client.tools.posix import wording
from bcfg2.client.tools.posix.augeas import Augeas, report_commands
from bcfg2.client.tools.posix.backups import back_up
from bcfg2.client.tools.posix.content import is_text, unified_diff
from bcfg2.client.tools.posix.device import Device
from bcfg2.client.tools.posix.directory import Directory, Permissions
from bcfg2.client.tools.posix.file import File
from bcfg2.client.tools.posix.lenses import Lenses
from bcfg2.client.tools.posix.links import Hardlink, Symlink
from bcfg2.client.tools.posix.managed import Managed
from bcfg2.client.tools.posix.metadata import MetadataKeeper
from bcfg2.client.tools.posix.nonexistent import NOTHING, Nonexistent
from bcfg2.client.tools.posix.owners import Owners
from bcfg2.client.tools.posix.pathtype import PathType, Surroundings, split
from bcfg2.options import ColonListOption, Declaration, IntOption, PathOption, SizeOption
from bcfg2.xml import Element, is_true

_TYPES: dict[str, type[PathType]] = {
    "augeas": Augeas,
    "device": Device,
    "directory": Directory,
    "file": File,
    "hardlink": Hardlink,
    "nonexistent": Nonexistent,
    "permissions": Permissions,
    "symlink": Symlink,
}

#: Types of file systems that are never given a label, unless the settings tell otherwise.
_UNLABELLED = (
    "anon_inodefs_t:bdev_t:binfmt_misc_fs_t:capifs_t:configfs_t:cpusetfs_t:ecryptfs_t:eventpollfs_t:futexfs_t:"
    "hugetlbfs_t:ibmasmfs_t:inotifyfs_t:mvfs_t:nfsd_fs_t:oprofilefs_t:ramfs_t:romfs_t:rpc_pipefs_t:spufs_t:squash_t:"
    "vmblock_t:vxfs_t:xenfs_t:autofs_t:cifs_t:dosfs_t:fusefs_t:iso9660_t:removable_t:nfs_t"
)

#: Metadata that mean nothing for a symbolic link.
_NOT_OF_LINKS = {"mode", "acl"}


class POSIX(Tool):
    """Files, directories, links, devices, and what must not be there."""

    handles: ClassVar = [("Path", kind) for kind in _TYPES]
    reported: ClassVar = {"owner": "current_owner", "group": "current_group", "mode": "current_mode"}
    reported_if_wrong: ClassVar = {"to": "current_to"}
    options: ClassVar[Sequence[Declaration]] = (
        PathOption(
            "paranoid", "path", default="/var/cache/bcfg2", help="Folder for copies of files that are replaced (see -P)"
        ),
        IntOption("paranoid", "max_copies", default=1, help="Copies that are kept of one file"),
        ColonListOption(
            "POSIX",
            "secontext_ignore",
            default=_UNLABELLED,
            help="Types of file systems whose files are never given an SELinux context",
        ),
        SizeOption(
            "POSIX", "diff_size", default="16m", help="Bytes of the largest file whose content is shown and reported"
        ),
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._owners = Owners()
        keeper = MetadataKeeper(self._owners, selinux.Policy(), frozenset(self.settings.posix_secontext_ignore))
        self._surroundings = Surroundings(
            metadata=keeper, encoding=self.settings.components_encoding, largest=self.settings.posix_diff_size
        )
        self._types = {name: kind(self._surroundings) for name, kind in _TYPES.items()}

    def handles_entry(self, entry: Element) -> bool:
        """Whether ENTRY is one for this tool; the type augeas only if its library is there."""
        return super().handles_entry(entry) and (entry.get("type") != "augeas" or Lenses().available)

    # Looking

    def missing_attributes(self, entry: Element) -> list[str]:
        return self._type(entry).missing(entry)

    def prepare(self) -> None:
        """Write the modes of entries with four digits; clean up what a killed run has left."""
        for entry in self.entries:
            mode = entry.get("mode")
            if mode and mode.isdecimal() and len(mode) < 4:
                entry.set("mode", mode.zfill(4))
        if not self.settings.dry_run:
            self._remove_leftovers()

    def refresh(self) -> None:
        self._owners.forget()
        self._surroundings.managed = Managed(self.configuration.path_names)

    def expected_state(self, entry: Element) -> State:
        return self._type(entry).expected_state(entry, _path(entry))

    def actual_state(self, entry: Element) -> State | None:
        path = _path(entry)
        try:
            folder_path, name = split(path)
            with opened_folder(folder_path) as folder, Node(folder, name) as node:
                return self._type(entry).actual_state(entry, path, node)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def differs(self, key: str, wanted: Any, found: Any) -> bool:
        return self._surroundings.metadata.differs(key, wanted, found)

    def difference(self, expected: State, actual: State | None) -> Difference:
        if actual is None:
            return {} if expected == NOTHING else super().difference(expected, None)
        if actual["type"] == "symlink":
            expected = {key: wanted for key, wanted in expected.items() if key not in _NOT_OF_LINKS}
        return super().difference(expected, actual)

    # Telling

    def report(self, entry: Element, actual: State | None, difference: Difference) -> None:
        if entry.get("type") == "nonexistent":
            return
        if entry.get("type") == "directory" and "type" in difference:
            actual = None  # clients have always said of a directory that it is not there if something else is
        super().report(entry, actual, difference)
        if actual is not None:
            self._report_more(entry, actual)
        if entry.get("type") == "augeas":
            report_commands(entry, actual["commands"] if actual is not None else ())
        if "children" in difference:
            self._report_children(entry, difference["children"].found or ())
        if "content" in difference and not is_true(entry.get("sensitive")):
            wanted, found = difference["content"]
            if found is not None or actual is None:
                self._report_content(entry, wanted, found)

    def _report_more(self, entry: Element, actual: State) -> None:
        """Report the metadata that only some entries, or some machines, have."""
        if entry.get("mtime"):
            entry.set("current_mtime", str(actual["mtime"]))
        if label := selinux.type_of(actual.get("secontext")):
            entry.set("current_secontext", label)

    def _report_children(self, entry: Element, children: Sequence[str]) -> None:
        for child in entry.findall("Prune"):
            entry.remove(child)
        for path in children:
            entry.append(entry.makeelement("Prune", {"name": path}))

    def _report_content(self, entry: Element, wanted: bytes, found: bytes | None) -> None:
        if self._is_binary(entry, found):
            if found is not None:
                entry.set("current_bfile", base64.b64encode(found).decode())
        else:
            entry.set("current_bdiff", base64.b64encode(self._diff(entry, wanted, found).encode()).decode())

    def _is_binary(self, entry: Element, found: bytes | None) -> bool:
        return entry.get("encoding") == "base64" or not is_text(found or b"", self._surroundings.encoding)

    def _diff(self, entry: Element, wanted: bytes, found: bytes | None) -> str:
        return unified_diff(_path(entry), found or b"", wanted, self._surroundings.encoding)

    def question(self, entry: Element) -> str:
        lines = [*self._described(entry, secret_too=True), f"Install {entry.get('type')} {entry.get('name')}: (y/N) "]
        return "\n".join(lines)

    def describe(self, entry: Element) -> list[str]:
        return self._described(entry, secret_too=False)

    def _described(self, entry: Element, *, secret_too: bool) -> list[str]:
        difference = self.differences.get(entry, {})
        lines = [f"{entry.get('name')} {line}" for line in wording.in_words(difference)]
        if "content" not in difference:
            return lines
        wanted, found = difference["content"]
        if is_true(entry.get("sensitive")) and not secret_too:
            return [*lines, f"{entry.get('name')} differs in its content, which is not shown"]
        if found is None and "exists" not in difference:
            return [*lines, f"{entry.get('name')} differs in its content, which is no file or too large to be shown"]
        if self._is_binary(entry, found):
            return [*lines, f"{entry.get('name')} differs in its content, which is no text"]
        return [*lines, *self._diff(entry, wanted, found).split("\n")]

    # Changing

    def install(self, entries: Sequence[Element]) -> dict[Element, bool]:
        self._owners.forget()
        return super().install(entries)

    def fix(self, entry: Element, difference: Difference) -> None:
        path = _path(entry)
        kind = self._type(entry)
        expected = kind.expected_state(entry, path)
        if self.settings.client_paranoid and is_true(entry.get("paranoid")):
            self._back_up(entry, path)
        kind.fix(entry, path, expected, difference)

    def _back_up(self, entry: Element, path: str) -> None:
        try:
            back_up(path, self.settings.paranoid_path, self.settings.paranoid_max_copies)
        except OSError as err:
            self.logger.error("%s: no copy could be made in %s: %s", title(entry), self.settings.paranoid_path, err)

    def _remove_leftovers(self) -> None:
        folders = Managed(self.configuration.path_names).folders | {self.settings.paranoid_path}
        for folder_path in sorted(folders):
            try:
                with opened_folder(folder_path) as folder:
                    removed = remove_leftovers(folder)
            except OSError:  # what cannot be looked into has nothing of ours either
                continue
            for name in removed:
                self.logger.info("Removed %s, which a killed run had left", os.path.join(folder_path, name))

    def _type(self, entry: Element) -> PathType:
        return self._types[entry.get("type", "")]


def _path(entry: Element) -> str:
    """The path of ENTRY, without slashes too many; :exc:`InstallError` if it is none."""
    name = entry.get("name", "")
    if not name.startswith("/") or "\0" in name:
        raise InstallError("its name is not an absolute path")
    return "/" + os.path.normpath(name).lstrip("/")
