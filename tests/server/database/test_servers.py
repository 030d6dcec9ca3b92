"""Two servers, as processes, that share a database."""

import pytest

from tests.support import METADATA, ServerProcess

pytest.importorskip("django", reason="Django is missing: install bcfg2[db]")

FILES = {
    **METADATA,
    "Metadata/groups.xml": '<Groups><Group name="basic" profile="true" default="true"/></Groups>',
    "Probes/os": "#!/bin/sh\necho group:$(uname)\n",
    "Bundler/base.xml": "<Bundle/>",
}
ANSWER = '<ProbeData><probe-data name="os" source="Probes">group:Linux\n6.1</probe-data></ProbeData>'


def test_a_run_may_be_spread_over_servers_and_goes_on_without_the_database(tmp_path, certificate, postgresql):
    conf = f"{postgresql.new()}[metadata]\nuse_database = yes\n[probes]\nuse_database = yes\n"
    servers = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        servers.append(ServerProcess(tmp_path / name, certificate, FILES, "Metadata,Bundler,Probes", conf))
    with servers[0] as one, servers[1] as two:
        assert one.call("DeclareVersion", "1.3.6") is True
        assert "uname" in two.call("GetProbes")
        assert two.call("RecvProbeData", ANSWER) is True
        assert "<Configuration" in one.call("GetConfig")
        for server in (one, two):
            assert server.call("Metadata.list_clients", source="127.0.0.1") == ["client.example.com"]
        postgresql.stop()
        try:
            for server in (one, two):
                assert server.call("DeclareVersion", "1.3.6") is True
                assert "<Configuration" in server.call("GetConfig")
        finally:
            postgresql.start()
        assert one.call("Metadata.remove_client", "client.example.com", source="127.0.0.1") is None
    assert "Traceback" not in (one.log.read_text() + two.log.read_text())
    assert "The list of clients stays as it was read last" in one.log.read_text()
