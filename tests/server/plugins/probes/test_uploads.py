"""Many clients that upload to a server which is killed in the middle: nothing acknowledged is lost.

With ``BCFG2_TEST_UPLOADS=2000`` it is as many clients.
"""

import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from tests.support import ServerProcess, await_condition

CLIENTS = int(os.environ.get("BCFG2_TEST_UPLOADS", "80"))
AT_ONCE = 8

FILES: dict[str, str | bytes] = {
    "Metadata/clients.xml": "<Clients>"
    + "".join(
        f'<Client name="c{number}" profile="basic" address="127.1.{number // 250}.{number % 250 + 1}"/>'
        for number in range(CLIENTS)
    )
    + "</Clients>",
    # A template that reads its own client's data and those of the one before.
    "Bundler/base.xml": """<Bundle xmlns:py="http://genshi.edgewall.org/">
  <BoundAction name="own" data="${metadata.Probes.get('p', '-').strip()}"
               group="${' '.join(sorted(g for g in metadata.groups if g.startswith('of-')))}"
               other="${metadata.query.by_name('c%d' % max(0, int(metadata.hostname[1:]) - 1)).Probes.get('p', '-')}"/>
</Bundle>
""",
    "Probes/p": "echo\n",
}


def address_of(number: int) -> str:
    return f"127.1.{number // 250}.{number % 250 + 1}"


def all_at_once(work: Callable[[int], None], numbers: list[int]) -> list[threading.Thread]:
    """Threads that have started to do WORK for all NUMBERS, some at a time; one that fails does no more."""
    left = deque(numbers)

    def go_on() -> None:
        while True:
            try:
                number = left.popleft()
            except IndexError:
                return
            work(number)

    threads = [threading.Thread(target=go_on) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    return threads


def upload_all(server: ServerProcess, numbers: list[int], acknowledged: set[int], *, is_killed: bool) -> None:
    """Upload for all NUMBERS; if the server IS_KILLED, that is when half of them are acknowledged."""
    failed: list[object] = []

    def upload(number: int) -> None:
        data = f'<probe-data name="p" source="Probes">group:of-{number}\n{number}</probe-data>'
        try:
            answer = server.call("RecvProbeData", f"<ProbeData>{data}</ProbeData>", source=address_of(number))
        except OSError as err:  # the server is gone
            failed.append(err)
            return
        if answer is True:
            acknowledged.add(number)
        else:
            failed.append(answer)

    threads = all_at_once(upload, numbers)
    if is_killed:
        assert server.process is not None
        await_condition(lambda: len(acknowledged) >= len(numbers) // 2, 300)
        server.process.kill()
        server.process.wait()
    for thread in threads:
        thread.join()
    assert bool(failed) == is_killed, failed[:3]


def check(server: ServerProcess, numbers: set[int]) -> None:
    """The configurations of NUMBERS have what their clients have uploaded, and so did the clients before them."""
    wrong: list[Any] = []

    def compare(number: int) -> None:
        action = etree.fromstring(server.call("GetConfig", source=address_of(number))).find(".//Action")
        before = max(0, number - 1)
        seen = (action.get("data"), action.get("group"), action.get("other"))
        others = {str(before)} if before in numbers else {str(before), "-"}  # may be there, if unacknowledged
        if seen[:2] != (str(number), f"of-{number}") or seen[2] not in others:
            wrong.append((number, seen))

    for thread in all_at_once(compare, sorted(numbers)):
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("storage", ["xml", "sqlite"])
def test_nothing_acknowledged_is_lost_if_the_server_is_killed_while_clients_upload(
    storage: str, tmp_path: Path, certificate: Any
) -> None:
    conf = f"[probes]\nstorage = {storage}\n"
    settings = {"server.filemonitor": "pseudo", "logging.syslog": "false"}
    server = ServerProcess(tmp_path, certificate, FILES, "Metadata,Bundler,Probes", conf, settings)
    everybody = list(range(CLIENTS))
    acknowledged: set[int] = set()
    server.start()
    try:
        upload_all(server, everybody, acknowledged, is_killed=True)
        assert CLIENTS // 2 <= len(acknowledged) < CLIENTS
        server.start()
        check(server, acknowledged)
        upload_all(
            server, [number for number in everybody if number not in acknowledged], acknowledged, is_killed=False
        )
        assert acknowledged == set(everybody)
        check(server, acknowledged)
        assert server.stop() == 0
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
    assert "Traceback" not in server.log.read_text()
