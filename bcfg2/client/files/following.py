"""Looking at what a link leads to, where that can be trusted."""

import contextlib
import os
from collections.abc import Iterator

from bcfg2.client.files.folders import opened_folder
from bcfg2.client.files.node import Node


@contextlib.contextmanager
def opened_target(link: Node, path: str) -> Iterator[Node | None]:
    """What LINK, which is at PATH, leads to, in one step.

    None if that is nothing, or if the link belongs to somebody else than root and this process's user, who could have
    the agent tell or copy what he may not read.
    """
    with contextlib.ExitStack() as opened:
        node = None
        if link.status.st_uid in (0, os.geteuid()):
            folder_path, name = os.path.split(os.path.join(os.path.dirname(path), link.link_text()))
            with contextlib.suppress(OSError):
                folder = opened.enter_context(opened_folder(folder_path))
                node = opened.enter_context(Node(folder, name or "."))
        yield node
