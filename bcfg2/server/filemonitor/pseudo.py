"""The monitor that reports what there is at the start, and no changes."""

from bcfg2.server.filemonitor.monitor import FileMonitor


class Pseudo(FileMonitor):
    """Reports every file once; a change of a file takes effect when the server is started again."""

    def start(self) -> None:
        self.logger.warning(
            "Changes on disk take effect at the next start only: filemonitor = inotify (of bcfg2[inotify]) follows them"
        )
