"""SELinux reads what semanage and semodule list, and changes it with as few commands as possible."""

import base64

import pytest

from bcfg2.client.tools import selinux
from bcfg2.client.tools.base import InstallError, MissingPrerequisite
from bcfg2.client.tools.selinux import SELinux
from bcfg2.client.tools.semanage import Identity, node, parse_export, parse_list
from tests.client.tools.machine import Machine, entry, verified

BOOLEANS = """\
ftpd_use_nfs                   (off  ,  off)  Determine whether ftpd can use NFS
httpd_enable_cgi               (on   ,   on)  Allow httpd to enable cgi
httpd_use_nfs                  (on   ,  off)  Allow httpd to use nfs
"""
CONTEXTS = """\
/.*                                                directory          system_u:object_r:default_t:s0
/srv/www(/.*)?                                     all files          system_u:object_r:httpd_sys_content_t:s0
/run/.*                                            all files          <<None>>
"""
PORTS = """\
http_port_t                    tcp      80, 81, 443
vnc_port_t                     tcp      5900-5983, 5985-5999
dns_port_t                     udp      53
"""
LOGINS = """\
__default__          unconfined_u         s0-s0:c0.c1023       *
bob                  user_u               s0                   *
"""
USERS = """\
guest_u         user       s0         s0                             guest_r
staff_u         user       s0         s0-s0:c0.c1023                 sysadm_r staff_r
"""
NODES = "10.0.0.0           255.0.0.0          ipv4  system_u:object_r:node_t:s0\n"
INTERFACES = "eth0                           system_u:object_r:netif_t:s0\n"
PERMISSIVE = "\nhttpd_t\n"
EXPORT = """\
boolean -D
port -D
boolean -m -1 httpd_enable_cgi
login -a -s user_u -r 's0' bob
port -a -t http_port_t -r 's0' -p tcp 81
node -a -M 255.0.0.0 -p ipv4 -t node_t -r 's0' 10.0.0.0
fcontext -a -f a -t httpd_sys_content_t -r 's0' '/srv/www(/.*)?'
permissive -a httpd_t
"""
LISTS = {
    "boolean": BOOLEANS,
    "fcontext": CONTEXTS,
    "port": PORTS,
    "login": LOGINS,
    "user": USERS,
    "node": NODES,
    "interface": INTERFACES,
    "permissive": PERMISSIVE,
}


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine whose policy is called small, with a module `site` that is loaded and `old` that is disabled."""
    (tmp_path / "config").write_text("# the policy\nSELINUX=enforcing\nSELINUXTYPE=small\n")
    monkeypatch.setattr(selinux, "CONFIG", tmp_path / "config")
    monkeypatch.setattr(selinux, "MODULES", tmp_path)
    monkeypatch.setattr(selinux.Policy, "enabled", True)
    (tmp_path / "small").mkdir()
    answers = {f"/usr/sbin/semanage {noun} -l -n": output for noun, output in LISTS.items()}
    answers["/usr/sbin/semanage export"] = EXPORT
    answers["/usr/sbin/semodule --list-modules=full"] = "400 site pp\n100 old pp disabled\n100 site pp disabled\n"
    return Machine(monkeypatch, answers)


def test_the_tool_is_left_out_where_selinux_is_not_enabled(machine, monkeypatch):
    monkeypatch.setattr(selinux.Policy, "enabled", False)
    with pytest.raises(MissingPrerequisite, match="not enabled"):
        machine.tool(SELinux, "")


def test_lists_read_as_records():
    assert parse_list("SEUser", USERS)[Identity("staff_u")]["roles"] == "staff_r sysadm_r"
    assert set(parse_list("SEPort", PORTS)) == {
        Identity(name) for name in ("80/tcp", "81/tcp", "443/tcp", "5900-5983/tcp", "5985-5999/tcp", "53/udp")
    }
    assert parse_list("SEFcontext", CONTEXTS)[Identity("/run/.*", "all")]["selinuxtype"] == "<<none>>"
    assert parse_list("SEFcontext", CONTEXTS)[Identity("/.*", "directory")]["mlsrange"] == "s0"
    assert parse_list("SEPermissive", PERMISSIVE) == {Identity("httpd_t"): {"name": "httpd_t"}}
    assert parse_list("SELogin", LOGINS)[Identity("bob")]["selinuxuser"] == "user_u"
    assert parse_list("SEInterface", INTERFACES)[Identity("eth0")]["selinuxtype"] == "netif_t"


def test_an_export_reads_as_identities():
    assert ("SENode", Identity("10.0.0.0/255.0.0.0")) in parse_export(EXPORT)
    assert ("SEFcontext", Identity("/srv/www(/.*)?", "all")) in parse_export(EXPORT)
    assert parse_export("port -a -t x_t -p tcp '8888\n") == []


def test_masks_of_nodes_are_written_out():
    assert node("10.0.0.0/8") == ("10.0.0.0", "255.0.0.0")
    assert node("10.1.2.3/255.255.255.0") == ("10.1.2.0", "255.255.255.0")
    assert node("fe80::/10")[0] == "fe80::"
    with pytest.raises(InstallError, match="ADDRESS/MASK"):
        node("eth0/x")


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ('<SEBoolean name="httpd_enable_cgi" value="on"/>', True),
        ('<SEBoolean name="httpd_use_nfs" value="on"/>', False),
        ('<SEFcontext name="/srv/www(/.*)?" selinuxtype="httpd_sys_content_t"/>', True),
        ('<SEFcontext name="/srv/www(/.*)?" filetype="regular" selinuxtype="httpd_sys_content_t"/>', False),
        ('<SEFcontext name="/srv/www(/.*)?" selinuxtype="httpd_sys_content_t" mlsrange="s1"/>', False),
        ('<SEPort name="80/tcp" selinuxtype="http_port_t"/>', True),
        ('<SEPort name="53/udp" selinuxtype="http_port_t"/>', False),
        ('<SELogin name="bob" selinuxuser="user_u"/>', True),
        ('<SEUser name="staff_u" roles="staff_r sysadm_r" prefix="user"/>', True),
        ('<SENode name="10.0.0.0/8" proto="ipv4" selinuxtype="node_t"/>', True),
        ('<SEInterface name="eth0" selinuxtype="netif_t"/>', True),
        ('<SEPermissive name="httpd_t"/>', True),
        ('<SEPermissive name="ftpd_t"/>', False),
    ],
)
def test_records_are_compared_with_lists(machine, text, good):
    assert list(verified(machine.tool(SELinux, text)).values()) == [good]


def test_the_entry_tells_what_was_found(machine):
    tool = machine.tool(SELinux, '<SEPort name="53/udp" selinuxtype="x_t"/><SEPort name="1/udp" selinuxtype="x_t"/>')
    verified(tool)
    assert entry(tool, "53/udp").get("current_selinuxtype") == "dns_port_t"
    assert entry(tool, "1/udp").get("current_exists") == "false"


RECORDS = """
<SEPort name="53/udp" selinuxtype="x_t" mlsrange="s0"/>
<SEFcontext name="/srv/my site(/.*)?" filetype="directory" selinuxtype="x_t"/>
<SEBoolean name="ftpd_use_nfs" value="on"/>
<SEBoolean name="no_such" value="on"/>
"""


def test_records_are_changed_in_one_transaction(machine):
    tool = machine.tool(SELinux, RECORDS)
    verified(tool)
    results = tool.install(tool.entries)
    assert {entry.get("name"): good for entry, good in results.items()} == {
        "53/udp": True,
        "/srv/my site(/.*)?": True,
        "ftpd_use_nfs": True,
        "no_such": False,
    }
    assert machine.commands[-1] == "/usr/sbin/semanage import"
    assert len(tool.modified) == 3


def test_if_the_transaction_fails_records_are_changed_one_by_one(machine):
    machine.answers["/usr/sbin/semanage import"] = (1, "ValueError: Type x_t is invalid")
    machine.answers["/usr/sbin/semanage fcontext -a"] = (1, "ValueError: Type x_t is invalid")
    tool = machine.tool(SELinux, RECORDS)
    verified(tool)
    results = tool.install(tool.entries)
    assert list(results.values()) == [True, False, True, False]
    assert machine.commands[-3:] == [
        "/usr/sbin/semanage port -m -t x_t -r s0 -p udp 53",
        "/usr/sbin/semanage fcontext -a -t x_t -f d '/srv/my site(/.*)?'",
        "/usr/sbin/semanage boolean -m --on ftpd_use_nfs",
    ]


def module(name: str, content: bytes, more: str = "") -> str:
    return f'<SEModule name="{name}" encoding="base64" {more}>{base64.b64encode(content).decode()}</SEModule>'


def test_a_module_is_loaded_enabled_and_has_its_file(machine, tmp_path):
    path = tmp_path / "small/site.pp"
    path.write_bytes(b"\x01old")
    tool = machine.tool(SELinux, module("site", b"\x01new") + module("old.pp", b"\x02", 'disabled="true"'))
    assert verified(tool) == {"site": False, "old.pp": False}
    assert "\x01" not in "".join(tool.describe(entry(tool, "site")))
    assert list(tool.install(tool.entries).values()) == [True, True]
    assert path.read_bytes() == b"\x01new"
    assert machine.commands[-1] == (f"/usr/sbin/semodule -i {path} -e site -i {tmp_path}/small/old.pp -d old")
    assert [file.name for file in sorted((tmp_path / "small").iterdir())] == ["old.pp", "site.pp"]


def test_a_module_without_content_is_not_written(machine, tmp_path):
    tool = machine.tool(SELinux, '<SEModule name="empty"/>')
    assert list(tool.install(tool.entries).values()) == [False]
    assert list((tmp_path / "small").iterdir()) == []


def test_extra_is_what_is_customised_and_the_files_of_modules(machine, tmp_path):
    (tmp_path / "small/stray.pp").touch()
    tool = machine.tool(
        SELinux,
        '<SENode name="10.0.0.0/8" proto="ipv4" selinuxtype="node_t"/><SELogin name="bob" selinuxuser="user_u"/>'
        '<SEBoolean name="httpd_enable_cgi" value="on"/>',
    )
    tool.extra = tool.find_extra()
    assert [(extra.tag, extra.get("name")) for extra in tool.extra] == [
        ("SEPort", "81/tcp"),
        ("SEFcontext", "/srv/www(/.*)?"),
        ("SEPermissive", "httpd_t"),
        ("SEModule", "stray"),
    ]
    machine.answers["/usr/sbin/semanage permissive -d"] = (1, "no")
    tool.remove(list(tool.extra))
    assert machine.commands[-4:] == [
        "/usr/sbin/semanage port -d -p tcp 81",
        "/usr/sbin/semanage fcontext -d -f a '/srv/www(/.*)?'",
        "/usr/sbin/semanage permissive -d httpd_t",
        "/usr/sbin/semodule -r stray",
    ]
    assert [extra.tag for extra in tool.extra] == ["SEPermissive"]
    assert not (tmp_path / "small/stray.pp").exists()
