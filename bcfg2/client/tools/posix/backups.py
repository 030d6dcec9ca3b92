"""Copies of what is about to be replaced."""

import contextlib
import datetime
import os
import re
import stat

from bcfg2.client.files import Node, Unfinished, opened_folder, opened_target

#: What follows the name of a path in the name of its copies; copies of a full second had no fraction once.
_TIME = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?"


def back_up(path: str, backups: str, max_copies: int) -> None:
    """Copy what is at PATH, unless that is nothing or a directory, to the folder BACKUPS.

    The oldest copies of the same path are removed before, until with the new one there are MAX_COPIES.  A copy has
    content, owner, group and mode of the original; of a link that leads to a file, those of the file.  Raises
    :exc:`OSError`.
    """
    folder_path, name = os.path.split(path)
    with contextlib.ExitStack() as opened:
        try:
            folder = opened.enter_context(opened_folder(folder_path))
            node = opened.enter_context(Node(folder, name))
        except (FileNotFoundError, NotADirectoryError):
            return
        if node.kind == stat.S_IFDIR or max_copies < 1:
            return
        target = opened.enter_context(opened_folder(backups))
        prefix = path.replace("/", "_") + "_"
        _remove_oldest(target, prefix, max_copies - 1)
        now = datetime.datetime.now().isoformat(timespec="microseconds")
        if node.kind == stat.S_IFLNK:
            node = _behind(node, opened.enter_context(opened_target(node, path)))
        with Unfinished(target) as copy:
            _copy(node, copy)
            copy.finish(prefix + now)


def _behind(link: Node, target: Node | None) -> Node:
    """What is copied of LINK: the file that it leads to, or else the link itself."""
    return target if target is not None and target.kind == stat.S_IFREG else link


def _remove_oldest(folder: int, prefix: str, keep: int) -> None:
    listing = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        copies = sorted(name for name in os.listdir(listing) if re.fullmatch(re.escape(prefix) + _TIME, name))
    finally:
        os.close(listing)
    for name in copies[: max(0, len(copies) - keep)]:
        os.unlink(name, dir_fd=folder)


def _copy(node: Node, copy: Unfinished) -> None:
    if node.kind == stat.S_IFREG:
        fd = copy.create()
        with open(fd, "wb") as stream:
            stream.write(node.read())
            stream.flush()
            os.fsync(fd)
    elif node.kind == stat.S_IFLNK:
        os.symlink(node.link_text(), copy.name, dir_fd=copy.folder)
    else:
        os.mknod(copy.name, node.kind | 0o600, node.status.st_rdev, dir_fd=copy.folder)
    with Node(copy.folder, copy.name) as made:
        if os.geteuid() == 0:
            made.set_owner(node.status.st_uid, node.status.st_gid)
        made.set_mode(stat.S_IMODE(node.status.st_mode))
