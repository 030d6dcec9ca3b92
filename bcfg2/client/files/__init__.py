"""Changing files where others may be at work: in homes, spool folders, shared trees.

.. code-block:: text

    opened_folder(path)  ->  descriptor of the folder        each step by descriptor, links only where they are safe
         |
         +--> Node(folder, name)      one thing in it, held: looking at it, setting owner, mode, time, ACL, label
         +--> Unfinished(folder)      something new beside its place, renamed over it when it is complete
         +--> remove(folder, name)    a file, or a tree without following links

A path is walked once; from there on all is done by descriptor, so that nobody who exchanges a folder for a link leads
the agent somewhere else.  `acl` and `selinux` know how the system keeps access control lists and labels.
"""

from bcfg2.client.files.folders import UnsafePath, opened_folder
from bcfg2.client.files.following import opened_target
from bcfg2.client.files.node import Node
from bcfg2.client.files.removal import remove
from bcfg2.client.files.unfinished import Unfinished, remove_leftovers

__all__ = ["Node", "Unfinished", "UnsafePath", "opened_folder", "opened_target", "remove", "remove_leftovers"]
