"""FileProbes: files of clients become files of Cfg."""

import base64
import logging
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any
from xmlrpc.client import Fault

import pytest
from lxml import etree

from tests.support import METADATA, ServerProcess, Site

ADDRESS = ("127.0.0.2", 1)
HOST = "client.example.com"
PATH = "/etc/foo.conf"

BUNDLE = f'<Bundle><Path name="{PATH}"/></Bundle>'


def make(tmp_path: Path, config: str, files: dict[str, str | bytes] | None = None, plugins: str = "Cfg,") -> Site:
    all_files = {"FileProbes/config.xml": f"<FileProbes>{config}</FileProbes>", "Bundler/base.xml": BUNDLE}
    return Site(tmp_path, {**all_files, **(files or {})}, f"Metadata,Bundler,{plugins}FileProbes")


def probes(site: Site, address: Any = ADDRESS) -> dict[str, etree._Element]:
    with site.core.request():
        return {probe.get("name"): probe for probe in etree.fromstring(site.core.GetProbes(address))}


def document(content: bytes, path: str = PATH, **attributes: str) -> str:
    element = etree.Element("ProbedFileData", name=path, **attributes)
    element.text = base64.encodebytes(content).decode()
    return etree.tostring(element).decode()


def upload(site: Site, answers: dict[str, str], address: Any = ADDRESS) -> Any:
    data = etree.Element("ProbeData")
    for path, text in answers.items():
        etree.SubElement(data, "probe-data", name=path, source="FileProbes").text = text
    with site.core.request():
        return site.core.RecvProbeData(address, etree.tostring(data).decode())


def kept(site: Site, path: str = PATH) -> dict[str, bytes]:
    folder = site.repo / f"Cfg{path}"
    return {file.name: file.read_bytes() for file in folder.iterdir()} if folder.exists() else {}


def test_a_missing_configuration_is_created_empty(tmp_path: Path) -> None:
    site = Site(tmp_path, plugins="Metadata,Bundler,Cfg,FileProbes")
    assert (site.repo / "FileProbes/config.xml").read_text() == "<FileProbes/>\n"
    assert probes(site) == {}


def test_the_plugin_does_not_load_without_cfg(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    site = make(tmp_path, "", plugins="")
    assert "FileProbes" not in site.core.plugins
    assert "FileProbes needs the plugin Cfg" in caplog.text


def test_conditions_say_who_is_asked_and_changes_take_effect(tmp_path: Path) -> None:
    config = '<Group name="basic"><FileProbe name="/a"/><Client name="other"><FileProbe name="/b"/></Client></Group>'
    site = make(tmp_path, config)
    assert set(probes(site)) == {"/a"}
    site.write(
        "FileProbes/config.xml", '<FileProbes><Group name="basic" negate="true"/><FileProbe name="/c"/></FileProbes>'
    )
    assert set(probes(site)) == {"/c"}


def test_a_file_that_cfg_has_for_the_client_is_asked_for_only_to_be_updated(tmp_path: Path) -> None:
    names = "/mine", "/others", "/made", "/updated"
    config = "".join(f'<FileProbe name="{name}"/>' for name in names[:3]) + '<FileProbe name="/updated" update="TRUE"/>'
    files: dict[str, str | bytes] = {
        "Cfg/mine/mine": "x",
        "Cfg/others/others.H_other": "x",
        "Cfg/made/info.xml": "<FileInfo/>",
        "Cfg/updated/updated": "x",
    }
    site = make(tmp_path, config, files)
    assert set(probes(site)) == {"/others", "/made", "/updated"}


@pytest.mark.parametrize("name", ["", "etc/foo", "/", "/etc/../foo", "/etc/foo/", "//etc"])
def test_a_name_that_is_no_full_path_is_an_error_said_once(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make(tmp_path, f'<FileProbe name="{name}"/><FileProbe name="/good"/>')
    assert set(probes(site)) == {"/good"} == set(probes(site))
    assert len([record for record in caplog.records if "is ignored" in record.message]) == 1


def test_a_file_that_cfg_does_not_have_is_created_with_its_attributes_and_in_force_at_once(tmp_path: Path) -> None:
    site = make(tmp_path, f'<FileProbe name="{PATH}"/>')
    assert upload(site, {PATH: document(b"x = 1\n", owner="www", group="adm", mode="0640")}) is True
    entry = site.entry("Path", PATH)
    expected = {"owner": "www", "group": "adm", "mode": "0640"}
    assert entry.text == "x = 1\n" and expected.items() <= dict(entry.attrib).items()
    assert kept(site)[f"foo.conf.H_{HOST}"] == b"x = 1\n"
    info = etree.fromstring(kept(site)["info.xml"])
    assert info.tag == "FileInfo" and [dict(child.attrib) for child in info] == [expected]
    site.restart()
    assert site.entry("Path", PATH).text == "x = 1\n"


def test_attributes_that_the_client_has_not_told_are_the_defaults(tmp_path: Path) -> None:
    site = make(tmp_path, f'<FileProbe name="{PATH}"/>')
    upload(site, {PATH: document(b"x", owner="www")})
    assert b'owner="www" group="root" mode="644"' in kept(site)["info.xml"]


def test_an_info_xml_that_is_there_stays(tmp_path: Path) -> None:
    info = '<FileInfo><Info owner="me"/></FileInfo>'
    site = make(tmp_path, f'<FileProbe name="{PATH}"/>', {f"Cfg{PATH}/info.xml": info})
    upload(site, {PATH: document(b"x", owner="www")})
    assert kept(site) == {"info.xml": info.encode(), f"foo.conf.H_{HOST}": b"x"}
    assert site.entry("Path", PATH).get("owner") == "me"


def test_the_same_content_writes_nothing(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {f"Cfg{PATH}/foo.conf": "grüße\n"}
    site = make(tmp_path, f'<FileProbe name="{PATH}" update="true"/>', files)
    upload(site, {PATH: document("grüße\n".encode())})
    assert kept(site) == {"foo.conf": "grüße\n".encode()}


def test_binary_content_is_compared_as_bytes(tmp_path: Path) -> None:
    content = bytes(range(256))
    files = {f"Cfg{PATH}/foo.conf": content, f"Cfg{PATH}/info.xml": '<FileInfo><Info encoding="base64"/></FileInfo>'}
    site = make(tmp_path, f'<FileProbe name="{PATH}" update="true"/>', files)
    upload(site, {PATH: document(content)})
    assert set(kept(site)) == {"foo.conf", "info.xml"}
    upload(site, {PATH: document(content[::-1])})
    assert base64.b64decode(site.entry("Path", PATH).text or "") == content[::-1]


def test_another_content_makes_a_version_for_the_host_and_only_where_updates_are_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    files: dict[str, str | bytes] = {f"Cfg{PATH}/foo.conf": "old\n"}
    site = make(tmp_path, f'<FileProbe name="{PATH}"/>', files)
    upload(site, {PATH: document(b"new\n")})
    assert kept(site) == {"foo.conf": b"old\n"} and "left alone" in caplog.text
    site.write("FileProbes/config.xml", f'<FileProbes><FileProbe name="{PATH}" update="true"/></FileProbes>')
    upload(site, {PATH: document(b"new\n")})
    assert kept(site) == {"foo.conf": b"old\n", f"foo.conf.H_{HOST}": b"new\n"}
    assert site.entry("Path", PATH).text == "new\n"
    upload(site, {PATH: document(b"newer\n")})
    assert site.entry("Path", PATH).text == "newer\n"


@pytest.mark.parametrize(
    "text", ["", "cannot read\n", "<ProbedFileData", '<ProbedFileData name="/etc/foo.conf">?</ProbedFileData>']
)
def test_an_answer_that_is_no_file_is_an_error_line_and_costs_no_other(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    site = make(tmp_path, f'<FileProbe name="{PATH}"/><FileProbe name="/b"/>')
    assert upload(site, {PATH: text, "/b": document(b"x", "/b")}) is True
    assert kept(site) == {} and f"b.H_{HOST}" in kept(site, "/b")
    assert [record for record in caplog.records if record.levelname == "ERROR" and PATH in record.message]


@pytest.mark.parametrize(
    "answers", [{"/etc/shadow": "/etc/shadow"}, {PATH: "/etc/shadow"}, {"/b": "/b", "/etc/shadow": "/etc/shadow"}]
)
def test_a_file_that_is_not_wanted_is_refused_and_nothing_is_written(tmp_path: Path, answers: dict[str, str]) -> None:
    site = make(tmp_path, f'<FileProbe name="{PATH}"/><FileProbe name="/b"/>')
    with pytest.raises(Fault) as caught:
        upload(site, {path: document(b"x", name) for path, name in answers.items()})
    assert caught.value.faultCode == -32500
    assert not (site.repo / "Cfg/etc").exists() and not (site.repo / "Cfg/b").exists()


def test_a_broken_file_of_cfg_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files: dict[str, str | bytes] = {f"Cfg{PATH}/foo.conf.genshi": "${1 / 0}"}
    site = make(tmp_path, f'<FileProbe name="{PATH}" update="true"/>', files)
    assert upload(site, {PATH: document(b"x")}) is True
    assert set(kept(site)) == {"foo.conf.genshi"} and "Cannot compare" in caplog.text


def test_a_disk_that_refuses_is_a_fault(tmp_path: Path) -> None:
    site = make(tmp_path, f'<FileProbe name="{PATH}"/>')
    (site.repo / "Cfg/etc").write_text("in the way")
    with pytest.raises(Fault, match="cannot keep /etc/foo.conf"):
        upload(site, {PATH: document(b"x")})


def test_clients_that_send_one_path_at_once_get_one_info_xml_and_a_file_each(tmp_path: Path) -> None:
    hosts = [f"h{number}" for number in range(8)]
    clients = "".join(f'<Client name="{host}" profile="basic" address="127.0.1.{host[1:]}"/>' for host in hosts)
    site = make(tmp_path, f'<FileProbe name="{PATH}"/>', {"Metadata/clients.xml": f"<Clients>{clients}</Clients>"})
    threads = [
        threading.Thread(
            target=upload, args=(site, {PATH: document(host.encode(), owner=host)}, (f"127.0.1.{host[1:]}", 1))
        )
        for host in hosts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(kept(site)) == {"info.xml", *(f"foo.conf.H_{host}" for host in hosts)}
    assert [site.entry("Path", PATH, host).text for host in hosts] == hosts


def test_what_else_changes_meanwhile_waits_for_its_own_batch(tmp_path: Path) -> None:
    site = make(tmp_path, f'<FileProbe name="{PATH}" update="true"/>', {f"Cfg{PATH}/foo.conf": "old\n"})
    (site.repo / f"Cfg{PATH}/info.xml").write_text('<FileInfo><Info owner="late"/></FileInfo>')
    upload(site, {PATH: document(b"new\n")})
    entry = site.entry("Path", PATH)
    assert (entry.text, entry.get("owner")) == ("new\n", "root")
    (site.repo / "Bundler/base.xml").write_text("<Bundle/>")
    upload(site, {PATH: document(b"newer\n")})
    assert site.entry("Path", PATH).text == "newer\n"
    site.write("Bundler/other.xml", "<Bundle/>")
    with pytest.raises(KeyError):
        site.entry("Path", PATH)


# the script


def run(site: Site, path: str, programs: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the probe for PATH, with only the named PROGRAMS on the PATH."""
    env = dict(os.environ)
    if programs is not None:
        folder = site.repo.parent / "programs"
        folder.mkdir(exist_ok=True)
        for name in programs.split():
            found = shutil.which(name)
            if found is None:
                pytest.skip(f"there is no {name} on this machine")
            (folder / name).symlink_to(found)
        env["PATH"] = str(folder)
    script = probes(site)[path].text
    return subprocess.run(["/bin/sh", "-c", script], env=env, capture_output=True, text=True, timeout=20, check=True)


@pytest.mark.parametrize("programs", [None, "stat sed base64", "stat sed openssl", "stat sed perl"])
def test_the_script_prints_the_file_whatever_the_machine_has(tmp_path: Path, programs: str | None) -> None:
    path = tmp_path / "some 'odd' \"na<me>\" & $(touch x)"
    content = bytes(range(256)) * 50
    path.write_bytes(content)
    path.chmod(0o4750)
    config = etree.Element("FileProbe", name=str(path))
    site = make(tmp_path, etree.tostring(config).decode())
    finished = run(site, str(path), programs)
    found = etree.fromstring(finished.stdout)
    assert dict(found.attrib) == {"name": str(path), "owner": path.owner(), "group": path.group(), "mode": "04750"}
    assert base64.b64decode(found.text) == content
    upload(site, {str(path): finished.stdout})
    assert kept(site, str(path))[f"{path.name}.H_{HOST}"] == content


@pytest.mark.parametrize("make_path", [Path.mkdir, lambda path: path.symlink_to("nothing"), lambda path: None])
def test_the_script_prints_nothing_where_there_is_no_file(tmp_path: Path, make_path: Any) -> None:
    path = tmp_path / "path"
    make_path(path)
    finished = run(make(tmp_path, f'<FileProbe name="{path}"/>'), str(path))
    assert finished.stdout == "" and "no such file" in finished.stderr


def test_the_script_says_what_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "path"
    path.write_text("x")
    finished = run(make(tmp_path, f'<FileProbe name="{path}"/>'), str(path), "stat sed")
    assert finished.stdout == "" and "needs base64, openssl or perl" in finished.stderr


def test_a_running_server_serves_the_file_when_the_call_returns(tmp_path: Path, certificate: object) -> None:
    files = {**METADATA, "FileProbes/config.xml": f'<FileProbes><FileProbe name="{PATH}" update="true"/></FileProbes>'}
    files["Bundler/base.xml"] = BUNDLE
    with ServerProcess(tmp_path, certificate, files, "Metadata,Bundler,Cfg,FileProbes") as server:
        for content in ("one\n", "two\n", "three\n"):
            text = document(content.encode())
            data = etree.Element("ProbeData")
            etree.SubElement(data, "probe-data", name=PATH, source="FileProbes").text = text
            server.call("RecvProbeData", etree.tostring(data).decode())
            assert etree.fromstring(server.call("GetConfig")).find(".//Path").text == content
