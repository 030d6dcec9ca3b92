"""Changes of the tree take effect while the server runs."""

import os
import threading

import pytest

from bcfg2.server.versioned import reading
from tests.server.plugin.small_core import Client
from tests.server.plugins.cfg.conftest import MakeBench


def test_files_are_added_changed_renamed_and_removed(bench: MakeBench) -> None:
    made = bench({"etc/motd/motd": "all", "etc/motd/motd.G10_debian": "debian"})
    web = Client("web", "debian", "dmz")
    assert made.text("/etc/motd", web) == "debian"
    made.change({"etc/motd/motd.H_web": "host"})
    assert made.text("/etc/motd", web) == "host"
    made.change({"etc/motd/motd.H_web": "host, second edition"})
    assert made.text("/etc/motd", web) == "host, second edition"
    assert made.text("/etc/motd", Client("db", "debian")) == "debian"
    made.delete("etc/motd/motd.H_web")
    assert made.text("/etc/motd", web) == "debian"
    made.move("etc/motd/motd.G10_debian", "etc/motd/motd.G10_dmz")
    assert made.text("/etc/motd", web) == "debian"
    assert made.text("/etc/motd", Client("db", "debian")) == "all"


def test_a_rename_over_an_existing_file_replaces_it(bench: MakeBench) -> None:
    made = bench({"a/a": "old"})
    made.core.write({"incoming": "new"})
    os.rename(made.core.path("incoming"), made.path("a/a"))
    made.core.apply()
    assert made.text("/a") == "new"


def test_a_plain_file_becomes_a_template_and_the_reverse(bench: MakeBench) -> None:
    made = bench({"a/a": "$metadata.hostname"})
    made.move("a/a", "a/a.genshi")
    assert made.text("/a", Client("h")) == "h"
    made.move("a/a.genshi", "a/a.jinja2")
    assert made.text("/a", Client("h")) == "$metadata.hostname"
    made.move("a/a.jinja2", "a/a")
    assert made.text("/a", Client("h")) == "$metadata.hostname"


def test_trees_appear_disappear_and_appear_again(bench: MakeBench) -> None:
    made = bench({"etc/a/a": "A"})
    made.change({"opt/app/etc/b/b": "B", "opt/app/etc/b/info.xml": '<FileInfo><Info owner="app"/></FileInfo>'})
    assert (made.text("/opt/app/etc/b"), made.bind("/opt/app/etc/b").get("owner")) == ("B", "app")
    made.delete("opt")
    assert made.listed() == ["/etc/a"]
    made.change({"opt/app/etc/b/b": "B again"})
    assert (made.text("/opt/app/etc/b"), made.bind("/opt/app/etc/b").get("owner")) == ("B again", "root")
    made.change({"opt/app/etc/b/b": "and again"})
    assert made.text("/opt/app/etc/b") == "and again"


def test_a_set_without_files_is_no_longer_claimed(bench: MakeBench) -> None:
    made = bench({"a/a": "A", "a/info.xml": "<FileInfo><Info/></FileInfo>"})
    made.delete("a/a")
    assert made.listed() == []


def test_info_xml_is_added_changed_broken_mended_and_removed(
    bench: MakeBench, caplog: pytest.LogCaptureFixture
) -> None:
    made = bench({"a/a": "A"})
    made.change({"a/info.xml": '<FileInfo><Info mode="0611"/></FileInfo>'})
    assert made.bind("/a").get("mode") == "0611"
    made.change({"a/info.xml": '<FileInfo><Info mode="0600"/></FileInfo>'})
    assert made.bind("/a").get("mode") == "0600"
    made.change({"a/info.xml": ""})
    assert made.path("a/info.xml") in caplog.text
    with pytest.raises(Exception, match=r"a/info\.xml cannot be used"):
        made.bind("/a")
    made.change({"a/info.xml": '<FileInfo><Info mode="0644"/></FileInfo>'})
    assert made.bind("/a").get("mode") == "0644"
    made.delete("a/info.xml")
    assert made.bind("/a").get("mode") == "644"


def test_a_request_sees_all_of_a_batch_or_nothing(bench: MakeBench) -> None:
    made = bench({"a/a": "old", "a/info.xml": '<FileInfo><Info owner="old"/></FileInfo>', "b/b.genshi": "old"})

    def state() -> list[str | None]:
        return [made.text("/a"), made.bind("/a").get("owner"), made.text("/b"), *made.listed()]

    files: dict[str, str | bytes] = {
        "a/a": "new",
        "a/info.xml": '<FileInfo><Info owner="new"/></FileInfo>',
        "b/b.genshi": "new",
        "c/c": "new",
    }
    with reading():
        before = state()
        thread = threading.Thread(target=made.change, args=(files,))
        thread.start()
        thread.join(10)
        assert state() == before == ["old", "old", "old", "/a", "/b"]
    assert state() == ["new", "new", "new", "/a", "/b", "/c"]
