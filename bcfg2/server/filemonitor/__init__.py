"""File monitors: they tell plugins what changes in the repository.

.. code-block:: text

    Inotify   hears from the kernel which folders changed       Pseudo   hears nothing
        |  notice(path)
        v
    FileMonitor   compares those folders with what it saw last, makes events of the differences
        |  HandleEvent(event), batch by batch
        v
    plugins and their files

What a monitor hears only says *where* to look.  What changed is found by comparing, so events that belong together are
one batch, nothing is missed when the kernel drops events, and a file is looked at only when its writer has been quiet
for a moment.
"""

from bcfg2.server.filemonitor.monitor import Event, FileMonitor, find_monitor

__all__ = ["Event", "FileMonitor", "find_monitor"]
