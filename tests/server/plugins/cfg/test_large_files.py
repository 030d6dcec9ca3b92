"""Large files, of which there are no more copies in memory than are needed."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import Dependencies
from tests.server.plugins.cfg.conftest import MakeBench
from tests.support import ServerProcess

MIB = 1 << 20


def test_a_large_file_is_bound_for_each_request_and_no_other_form_of_a_file_is_kept(bench: MakeBench) -> None:
    made = bench({"a/a": b"\0" * (2 * MIB), "b/b": b"\0"})
    for name, size in (("/a", 2 * MIB), ("/b", 1)):
        assert b64decode(made.bind(name, encoding="base64").text or "") == b"\0" * size
    for name in ("a", "b"):
        (file,) = made.cfg.entries[name].entries.values()
        assert file.contents._base64 is None
    assert made.cfg.depends_on(etree.Element("Path", name="/a")) is None
    assert made.cfg.depends_on(etree.Element("Path", name="/b")) == Dependencies()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc, which only Linux has")
def test_a_server_has_no_more_than_three_copies_of_a_file_that_it_sends(tmp_path: Path, certificate: Any) -> None:
    size = 26  # large enough for the allocator to give it back
    data = bytes(range(256)) * (size * MIB // 256)
    files = {
        "Cfg/large/large": data,
        "Cfg/large/info.xml": '<FileInfo><Info encoding="base64"/></FileInfo>',
        "Bundler/base.xml": '<Bundle><Path name="/large"/></Bundle>',
    }
    with ServerProcess(tmp_path, certificate, files, "Metadata,Bundler,Cfg") as server:
        assert server.process is not None
        status = Path(f"/proc/{server.process.pid}/status")
        server.call("GetProbes")  # what every first call takes is no matter of the file

        def memory(what: str) -> float:
            return int(status.read_text().split(f"{what}:")[1].split()[0]) / 1024

        before = memory("VmRSS")
        answer = server.call("GetConfig")
        peak = memory("VmHWM")
    (entry,) = etree.fromstring(answer, etree.XMLParser(huge_tree=True)).iter("Path")
    assert b64decode(entry.text or "") == data
    # one copy is in memory all the time; two are in base64, each a third larger
    assert peak - before < 2 * size * 4 / 3 + 6
