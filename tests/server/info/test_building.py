"""Configurations, bundles and files, built for clients."""

import os
import stat

import pytest
from lxml import etree

from tests.server.info.conftest import Place, Run
from tests.support import write_files


def test_build_prints_the_document_that_a_client_gets(info: Run) -> None:
    status, output, errors = info("build", "www2.example.com")
    assert output.startswith(
        "<?xml version='1.0' encoding='UTF-8'?>\n<Configuration version=\"2.0\" revision=\"-1\">\n"
    )
    document = etree.fromstring(output.encode())
    assert document.xpath("//Path[@name='/etc/motd']")[0].text == "Größe\n"
    assert "\n    <Service" in output
    (package,) = document.iter("Package")
    assert package.get("failure") == "no matching generator"
    assert (status, len(errors.splitlines())) == (0, 1)


def test_build_writes_a_file_that_only_its_owner_may_read(info: Run, place: Place) -> None:
    path = place.folder / "out.xml"
    assert info("build", "db1.example.com", str(path)) == (0, "", "")
    assert etree.parse(path).getroot().tag == "Configuration"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unknown_client_is_built_but_not_registered(info: Run) -> None:
    status, output, errors = info("build", "new.example.com")
    assert (status, "nginx.conf" in output) == (0, True)
    assert "new.example.com is no client" in errors


def test_buildall_makes_a_file_for_each_client_and_goes_on_after_a_fault(info: Run, place: Place) -> None:
    clients = place.repo / "Metadata/clients.xml"
    clients.write_text(clients.read_text().replace("</Clients>", '<Client name="../evil" profile="db"/></Clients>'))
    folder = place.folder / "some/where"
    status, _, errors = info("buildall", str(folder))
    assert status == 1
    assert "'../evil.xml' is no name for a file" in errors
    assert sorted(os.listdir(folder)) == ["db1.example.com.xml", "www1.example.com.xml", "www2.example.com.xml"]
    assert info("buildall", str(folder), "db*")[0] == 0


def test_buildfile_prints_one_element(info: Run) -> None:
    status, output, _ = info("buildfile", "/etc/motd", "db1.example.com")
    assert (status, output.count("\n")) == (0, 2)  # one is in the file
    assert etree.fromstring(output).text == "db\n"


def test_buildfile_binds_another_entry_for_altsrc(info: Run) -> None:
    entry = etree.fromstring(info("buildfile", "--altsrc", "/etc/motd", "/etc/issue", "db1.example.com")[1])
    assert (entry.get("name"), entry.text) == ("/etc/issue", "db\n")


def test_buildfile_of_an_entry_that_nobody_binds_is_status_1(info: Run) -> None:
    status, output, errors = info("buildfile", "/etc/nowhere", "db1.example.com")
    assert (status, output) == (1, "")
    assert errors.splitlines()[-1] == ("db1.example.com: Path /etc/nowhere cannot be bound: no matching generator")


def test_buildallfile_makes_a_file_for_each_client(info: Run, place: Place) -> None:
    folder = place.folder / "motds"
    assert info("buildallfile", str(folder), "/etc/motd", "www*") == (0, "", "")
    assert sorted(os.listdir(folder)) == ["www1.example.com", "www2.example.com"]
    assert etree.parse(folder / "www1.example.com").getroot().text == "Größe\n"


@pytest.mark.parametrize("name", ["nginx", "nginx.xml"])
def test_buildbundle_shows_a_bundle_rendered_and_unbound(info: Run, name: str) -> None:
    output = info("buildbundle", name, "www2.example.com")[1]
    assert [element.get("name") for element in etree.fromstring(output)] == [
        "/etc/nginx.conf",
        "/srv/www",
        "nginx-www2",
    ]
    assert '\n  <Package name="nginx-www2"/>\n' in output


def test_buildbundle_of_an_unknown_bundle_is_status_1(info: Run) -> None:
    assert info("buildbundle", "nosuch", "db1.example.com") == (1, "", "No such bundle nosuch\n")


TREE = {
    "Bundler/base.xml": """<Bundle>
  <Path name="/etc/motd"/>
  <BoundPath name="/etc/link" type="symlink" to="/etc"/>
  <BoundPath name="/etc/link/inner" type="file" mode="0644">x</BoundPath>
  <BoundPath name="/etc/empty" type="file" empty="true" mode="0640" owner="nobody-knows"/>
  <BoundPath name="/srv/data" type="directory" mode="0711"/>
  <BoundPath name="/etc/gone" type="nonexistent"/>
  <BoundPath name="/etc/node" type="device" dev_type="fifo"/>
  <BoundPath name="/../up" type="file" empty="true"/>
  <Path name="/etc/nowhere"/>
</Bundle>
""",
}


def test_builddir_installs_below_the_folder_and_nowhere_else(info: Run, place: Place) -> None:
    write_files(place.repo, TREE)
    top = place.folder / "tree"
    status, output, errors = info("builddir", "db1.example.com", str(top))
    assert (status, output) == (1, "")
    assert (top / "etc/motd").read_text() == "db\n"
    assert os.readlink(top / "etc/link") == "/etc"
    assert stat.S_IMODE((top / "etc/empty").stat().st_mode) == 0o640
    assert stat.S_IMODE((top / "srv/data").stat().st_mode) == 0o711
    assert sorted(os.listdir(top)) == ["etc", "srv"]
    assert sorted(os.listdir(top / "etc")) == ["empty", "link", "motd"]
    assert not (place.folder / "up").exists()
    for text in ("/etc/node is skipped: only an agent", "/etc/nowhere is skipped", "/../up cannot", "/inner cannot"):
        assert text in errors


def test_builddir_replaces_files_and_keeps_copies_if_it_is_told_to(info: Run, place: Place) -> None:
    top = place.folder / "tree"
    for _ in range(2):
        assert info("builddir", "db1.example.com", str(top)) == (0, "", "")
    assert not (top / "etc/motd.bak").exists()
    (top / "etc/motd").write_text("old")
    assert info("builddir", "-P", "db1.example.com", str(top)) == (0, "", "")
    assert ((top / "etc/motd").read_text(), (top / "etc/motd.bak").read_text()) == ("db\n", "old")
