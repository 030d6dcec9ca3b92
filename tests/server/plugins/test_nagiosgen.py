"""NagiosGen: what clients say about themselves, and what the monitor is told of them."""

import logging
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from bcfg2.server.plugin import Dependencies, PluginExecutionError
from bcfg2.server.plugins.nagiosgen import heading, hostgroups_of, resolve
from tests.support import Site

STATUS, SERVER = "/etc/nagiosgen.status", "/etc/nagios/conf.d/bcfg2.cfg"
FILES: dict[str, str | bytes] = {
    "Metadata/clients.xml": """<Clients>
  <Client name="127.0.0.1" profile="monitor"/>
  <Client name="127.0.0.2" profile="web"/>
  <Client name="127.0.0.3" profile="plain"/>
  <Client name="no such/../host" profile="plain"/>
</Clients>""",
    "Metadata/groups.xml": """<Groups>
  <Group name="monitor" profile="true"><Bundle name="server"/></Group>
  <Group name="web" profile="true"><Group name="b-site"/><Bundle name="status"/><Bundle name="a-http"/></Group>
  <Group name="plain" profile="true"><Bundle name="status"/></Group>
</Groups>""",
    "Bundler/status.xml": f'<Bundle><Path name="{STATUS}" owner="x"/></Bundle>',
    "Bundler/server.xml": f'<Bundle><Path name="/opt/all.cfg" altsrc="{SERVER}"/></Bundle>',
    "Bundler/a-http.xml": "<Bundle/>",
    "NagiosGen/b-site-group.cfg": "# site\n",
    "NagiosGen/a-http-bundle.cfg": "# http\n",
    "NagiosGen/other-group.cfg": "# other\n",
    "NagiosGen/default-group.cfg": "# default\n",
}


def site(tmp_path: Path, files: dict[str, str | bytes] | None = None) -> Site:
    return Site(tmp_path, {**FILES, **(files or {})}, "Metadata, Bundler, NagiosGen")


def host(name: str, *lines: str) -> str:
    """The description of the host NAME, whose further LINES are words."""
    words = [("host_name", name), ("alias", name), ("address", name), *(line.split() for line in lines)]
    return "define host {\n" + "".join(f"\t{key}{' ' * (32 - len(key))} {value}\n" for key, value in words) + "}\n"


def status(subject: Site, name: str) -> str | None:
    return subject.entry("Path", STATUS, name).text


def server(subject: Site) -> str | None:
    return subject.entry("Path", "/opt/all.cfg", "127.0.0.1").text


def test_a_host_has_its_address_and_hostgroups(tmp_path: Path) -> None:
    subject = site(tmp_path)
    text = host("127.0.0.2", "hostgroups a-http,b-site", "use default")
    entry = subject.entry("Path", STATUS, "127.0.0.2")
    assert dict(entry.attrib) == {
        "name": STATUS, "type": "file", "owner": "root", "group": "root", "mode": "0400", "encoding": "ascii",
    }  # fmt: skip
    assert entry.text == text
    assert (subject.repo / "NagiosGen/127.0.0.2-host.cfg").read_text() == text
    assert status(subject, "127.0.0.3") == host("127.0.0.3", "use default")


def test_options_come_in_document_order_and_a_template_of_one_s_own_replaces_the_default(tmp_path: Path) -> None:
    subject = site(tmp_path)
    subject.write(
        "NagiosGen/config.xml",
        """<NagiosGen><Option name="z">1</Option>
          <Group name="web"><Option name="use">important</Option></Group><Group name="plain"><Option name="q">2</Option>
          </Group><Option name="a">3</Option><Other><Option name="deep">4</Option></Other><Option name="empty"/>
        </NagiosGen>""",
    )
    text = status(subject, "127.0.0.2")
    assert text is not None
    assert [line.split() for line in text.splitlines()[5:-1]] == [
        ["z", "1"],
        ["use", "important"],
        ["a", "3"],
        ["empty"],
    ]
    text = status(subject, "127.0.0.3")
    assert text is not None
    assert [line.split()[0] for line in text.splitlines()[4:-1]] == ["z", "q", "a", "empty", "use"]
    subject.delete("NagiosGen/config.xml")
    assert status(subject, "127.0.0.3") == host("127.0.0.3", "use default")


def test_a_config_file_that_was_never_good_costs_only_the_options(tmp_path: Path) -> None:
    assert status(site(tmp_path, {"NagiosGen/config.xml": "<NagiosGen>"}), "127.0.0.3") == host(
        "127.0.0.3", "use default"
    )


def test_a_missing_config_file_is_made(tmp_path: Path) -> None:
    subject = site(tmp_path)
    assert etree.parse(subject.repo / "NagiosGen/config.xml").getroot().tag == "NagiosGen"


def test_an_option_without_a_name_is_named_and_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = site(tmp_path, {"NagiosGen/config.xml": "<NagiosGen><Option>x</Option></NagiosGen>"})
    with caplog.at_level(logging.ERROR):
        assert status(subject, "127.0.0.3") == host("127.0.0.3", "use default")
    assert "NagiosGen/config.xml: an Option without a name is ignored" in caplog.text


def test_the_server_file_has_the_groups_that_hosts_use_and_all_hosts(tmp_path: Path) -> None:
    subject = site(tmp_path, {"NagiosGen/switch-host.cfg": "define host {\n hostgroups other,nowhere\n}\n"})
    assert status(subject, "127.0.0.3")
    assert status(subject, "127.0.0.2")
    entry = subject.entry("Path", "/opt/all.cfg", "127.0.0.1")
    assert entry.text == (
        "# http\n\n# site\n\n# default\n\n# other\n\n\n"
        + "\n".join(
            [
                host("127.0.0.2", "hostgroups a-http,b-site", "use default"),
                host("127.0.0.3", "use default"),
                "define host {\n hostgroups other,nowhere\n}\n",
            ]
        )
    )
    assert {key: entry.get(key) for key in ("owner", "group", "mode", "type", "encoding")} == {
        "owner": "nagios", "group": "nagios", "mode": "0440", "type": "file", "encoding": "ascii",
    }  # fmt: skip
    assert (subject.repo / "NagiosGen/nagiosgen.cfg").read_text() == entry.text


def test_without_hosts_only_the_default_group_is_left(tmp_path: Path) -> None:
    assert server(site(tmp_path)) == "# default\n\n\n"


def test_a_host_file_that_is_edited_or_deleted_is_noticed_at_once(tmp_path: Path) -> None:
    subject = site(tmp_path, {"NagiosGen/x-host.cfg": "one"})
    assert server(subject) == "# default\n\n\none"
    (subject.repo / "NagiosGen/x-host.cfg").write_text("other")
    assert server(subject) == "# default\n\n\nother"
    (subject.repo / "NagiosGen/x-host.cfg").unlink()
    assert server(subject) == "# default\n\n\n"


def test_a_client_that_is_gone_is_left_out_but_not_what_somebody_wrote(tmp_path: Path) -> None:
    subject = site(tmp_path, {"NagiosGen/gone-host.cfg": host("gone"), "NagiosGen/kept-host.cfg": "# by hand\n"})
    assert server(subject) == "# default\n\n\n# by hand\n"
    assert (subject.repo / "NagiosGen/gone-host.cfg").exists()


def test_a_host_file_that_is_no_text_is_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    subject = site(tmp_path, {"NagiosGen/a-host.cfg": b"\xff", "NagiosGen/b-host.cfg": "good"})
    (subject.repo / "NagiosGen/c-host.cfg").mkdir()
    with caplog.at_level(logging.ERROR):
        assert server(subject) == "# default\n\n\ngood"
    assert "a-host.cfg is left out" in caplog.text
    assert "c-host.cfg is left out" in caplog.text


@pytest.mark.parametrize("name", ["../escape", "a b", "x;y", "x\n}", "{}", "", "x\x00"])
def test_a_name_that_would_leave_the_folder_or_break_the_configuration_fails(tmp_path: Path, name: str) -> None:
    subject = site(tmp_path).plugin("NagiosGen")
    before = sorted(os.listdir(tmp_path / "repo/NagiosGen"))
    metadata: Any = type("Metadata", (), {"hostname": name, "groups": (), "bundles": ()})
    with pytest.raises(PluginExecutionError, match="cannot be used"):
        subject.bind_host(etree.Element("Path", name=STATUS), metadata)
    assert sorted(os.listdir(tmp_path / "repo/NagiosGen")) == before


def test_a_name_that_does_not_resolve_fails_its_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    subject = site(tmp_path)
    monkeypatch.setattr(socket, "getaddrinfo", fail)
    failure = subject.entry("Path", STATUS, "127.0.0.3").get("failure")
    assert failure is not None
    assert "the host name 127.0.0.3 does not resolve" in failure
    assert not (subject.repo / "NagiosGen/127.0.0.3-host.cfg").exists()


def test_the_first_ipv4_address_goes_before_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    six = (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0, 0, 0))
    fours = [(socket.AF_INET, 1, 6, "", (address, 0)) for address in ("192.0.2.9", "192.0.2.1")]
    answers: list[Any] = [six, *fours]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_more: answers)
    assert resolve("h") == "192.0.2.9"
    answers[1:] = []
    assert resolve("h") == "2001:db8::1"


def test_a_name_no_resolver_can_be_asked_for_fails() -> None:
    with pytest.raises(PluginExecutionError, match="does not resolve"):
        resolve("x" * 64 + ".example")


def test_a_folder_that_cannot_be_written_costs_the_client_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_arguments: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    subject = site(tmp_path)
    monkeypatch.setattr("bcfg2.server.plugins.nagiosgen.atomic_write", full)
    with caplog.at_level(logging.ERROR):
        assert status(subject, "127.0.0.3") == host("127.0.0.3", "use default")
    assert "Cannot write" in caplog.text
    assert "No space left" in caplog.text


def test_what_has_not_changed_is_not_written_again(tmp_path: Path) -> None:
    subject = site(tmp_path)
    status(subject, "127.0.0.2")
    server(subject)
    paths = [subject.repo / "NagiosGen" / name for name in ("127.0.0.2-host.cfg", "nagiosgen.cfg")]
    before = [path.stat().st_ino for path in paths]
    version = subject.core.fam.content_version
    status(subject, "127.0.0.2")
    server(subject)
    subject.apply()
    assert [path.stat().st_ino for path in paths] == before
    assert subject.core.fam.content_version == version


def test_files_that_the_server_writes_are_no_change_of_the_repository(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = site(tmp_path)
    version = subject.core.fam.content_version
    with caplog.at_level(logging.WARNING):
        status(subject, "127.0.0.2")
        server(subject)
        subject.apply()
    assert subject.core.fam.content_version == version
    assert "not a file that belongs here" not in caplog.text


def test_many_hosts_at_once_leave_whole_files(tmp_path: Path) -> None:
    subject = site(tmp_path)
    names = [f"127.0.1.{number}" for number in range(1, 9)]
    clients = "".join(f'<Client name="{name}" profile="plain"/>' for name in names)
    monitor = '<Client name="127.0.0.1" profile="monitor"/>'
    subject.write("Metadata/clients.xml", f"<Clients>{clients}{monitor}</Clients>")
    seen: list[str | None] = []
    threads = [threading.Thread(target=lambda name=name: status(subject, name)) for name in names]
    threads += [threading.Thread(target=lambda: seen.append(server(subject))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    whole = {host(name, "use default") for name in names}
    for text in seen:
        assert text is not None
        found = text.removeprefix("# default\n\n\n").split("}\n\n")
        assert {f"{part.removesuffix('}' + chr(10))}}}\n" for part in found if part} <= whole
    assert server(subject) == "# default\n\n\n" + "\n".join(host(name, "use default") for name in sorted(names))


def test_what_decides_is_never_known_in_advance(tmp_path: Path) -> None:
    subject = site(tmp_path).plugin("NagiosGen")
    assert subject.depends_on(etree.Element("Path", name=STATUS)) is None
    assert subject.depends_on(etree.Element("Path", name="/etc/motd")) == Dependencies()
    assert subject.depends_on(etree.Element("Package", name=STATUS)) == Dependencies()


def test_hostgroups_are_the_second_word_of_lines_that_name_them() -> None:
    assert hostgroups_of("define hostgroup\n hostgroups  a,b rest\nuse c\nhostgroup_name d\n") == [
        "hostgroup",
        "a",
        "b",
        "d",
    ]


def test_a_heading_says_which_host_it_is() -> None:
    assert host("a.example", "use x").startswith(heading("a.example"))
    assert not host("a.example.com", "use x").startswith(heading("a.example"))
