"""The tool POSIX: everything that can be at a path.

.. code-block:: text

    POSIX (Tool)  --by type-->  PathType: file, directory, permissions, device, symlink, hardlink, nonexistent, augeas
                                   |          expected_state, actual_state, fix
                                   +-- metadata: owner, group, mode, ACL, label, time: of every type alike
                                   +-- bcfg2.client.files: the operations by descriptor

The modules: `tool` (what the run calls), `pathtype` (the base class of the types), one module for each type or pair of
types, `metadata`, `owners` (names and numbers), `content` (bytes and their differences), `aclentries` (ACL elements),
`lenses` and `augcommands` (Augeas), `managed` (which paths have an entry), `backups`, `wording` (what a person reads).
"""

from bcfg2.client.tools.posix.tool import POSIX

__all__ = ["POSIX"]
