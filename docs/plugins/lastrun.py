"""LastRun: what each client's last run came to."""

from typing import Any, ClassVar

from bcfg2.server.cache import Cache
from bcfg2.server.plugin import Connector, OnDemandDict, Plugin, ThreadedStatistics, track_statistics


class LastRun(ThreadedStatistics, Connector):
    """Keeps the state of the last run, for templates and for ``LastRun.states``."""

    __rmi__: ClassVar[list[str]] = [*Plugin.__rmi__, "states"]

    def __init__(self, core: Any) -> None:
        super().__init__(core)
        self.last = Cache(self.name, "state")

    @track_statistics()
    def handle_statistic(self, metadata: Any, data: Any) -> None:
        """In a thread of its own, one client after the other."""
        self.last[metadata.hostname] = data.find("Statistics").get("state")
        self.core.metadata_cache.expire(metadata.hostname)

    def get_additional_data(self, metadata: Any) -> OnDemandDict:
        return OnDemandDict(
            state=self.last.get(metadata.hostname, "unknown"),
            dirty=lambda: sorted(name for name, state in self.last.items() if state == "dirty"),
        )

    def states(self) -> dict[str, str]:
        """Over XML-RPC: the state of each client."""
        return dict(self.last)
