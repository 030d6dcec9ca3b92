"""What all packages have in common, shown with APT, and how each tool reads and changes its machine."""

import os
import shutil
from pathlib import Path

import pytest

from bcfg2.client.tools import homebrew, pkgng
from bcfg2.client.tools.apk import APK
from bcfg2.client.tools.apt import APT
from bcfg2.client.tools.base import InstallError, MissingPrerequisite
from bcfg2.client.tools.debian import Policy, parse_debsums, parse_dpkg_verify, parse_policy
from bcfg2.client.tools.homebrew import HomeBrew
from bcfg2.client.tools.ips import IPS
from bcfg2.client.tools.macports import MacPorts
from bcfg2.client.tools.macports import parse_list as parse_ports
from bcfg2.client.tools.pacman import Pacman
from bcfg2.client.tools.pkgng import Pkgng
from bcfg2.client.tools.portage import Portage, parse_check, parse_list
from bcfg2.client.tools.sysv import ADMIN, SYSV
from tests.client.tools.machine import Machine, entry, tool_of, verified

DPKG = """\
bash\tamd64\tinstalled\t5.2-1
nginx\tamd64\tinstalled\t1.22-1
libc6\tamd64\tinstalled\t2.36
libc6\ti386\tinstalled\t2.36
vim\tamd64\tconfig-files\t2:9.0-1
exim4\tamd64\thalf-configured\t4.96-15
tzdata\tall\ttriggers-pending\t2024a-0
"""
POLICY = """\
bash:
  Installed: 5.2-1
  Candidate: 5.2-1
  Version table:
 *** 5.2-1 100
        100 /var/lib/dpkg/status
nginx:
  Installed: 1.22-1
  Candidate: 1.24-1
  Version table:
     1.24-1 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
        500 http://deb.debian.org/debian-security bookworm-security/main amd64 Packages
     1.23-1 -1
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
 *** 1.22-1 100
        100 /var/lib/dpkg/status
mail-transport-agent:
  Installed: (none)
  Candidate: (none)
  Version table:
exim4:
  Installed: (none)
  Candidate: 4.96-15
  Version table:
     4.96-15 500
        500 http://deb.debian.org/debian bookworm/main amd64 Packages
"""


def debian(monkeypatch, **answers) -> Machine:
    return Machine(
        monkeypatch,
        {
            "/usr/bin/dpkg --print-architecture": "amd64\n",
            "/usr/bin/dpkg-query": DPKG,
            "/usr/bin/apt-cache": POLICY,
            **answers,
        },
    )


def debs(**versions: str) -> str:
    return "".join(f'<Package type="deb" name="{name}" version="{version}"/>' for name, version in versions.items())


def test_the_policy_tells_the_candidate_and_what_can_be_downloaded():
    policies = parse_policy(POLICY)
    assert policies["bash"] == Policy("5.2-1", [])
    assert policies["nginx"] == Policy("1.24-1", ["1.24-1", "1.23-1"])
    assert policies["mail-transport-agent"] == Policy(None, [])


def test_debsums_names_files_in_many_ways():
    report = parse_debsums(
        "debsums: changed file /usr/bin/a (from a package)\n"
        "debsums: missing file /usr/bin/b (from b package)\n"
        "debsums: can't open c file /usr/bin/c (Permission denied)\n"
        "debsums: checksum mismatch d file /usr/bin/d\n"
        "debsums: package e is not installed\n"
    )
    assert report.changed == ["/usr/bin/a", "/usr/bin/b", "/usr/bin/c", "/usr/bin/d"]
    assert not report.without_sums
    assert parse_debsums("debsums: no md5sums for vim\n").without_sums


def test_dpkg_verify_names_files_with_their_kind():
    assert parse_dpkg_verify("??5??????   /usr/bin/a b\n??5?????? c /etc/b\nmissing   c /etc/c\n\n") == [
        "/usr/bin/a b",
        "/etc/b",
        "/etc/c",
    ]


def test_versions_are_exact_any_or_the_newest(monkeypatch):
    machine = debian(monkeypatch)
    tool = machine.tool(
        APT, debs(bash="5.2-1", nginx="auto", vim="any", tzdata="any", exim4="any", nosuch="auto"), quick=True
    )
    assert verified(tool) == {
        "bash": True,
        "nginx": False,
        "vim": False,
        "tzdata": True,
        "exim4": False,
        "nosuch": False,
    }
    assert entry(tool, "nginx").get("current_version") == "1.22-1"
    assert entry(tool, "vim").get("current_exists") == "false"
    assert len(machine.ran("policy")) == 1


def test_a_candidate_that_is_older_is_not_wanted(monkeypatch):
    machine = debian(monkeypatch, **{"/usr/bin/dpkg --compare-versions 1.22-1 lt 1.24-1": (1, "")})
    assert verified(machine.tool(APT, debs(nginx="auto"), quick=True)) == {"nginx": True}


def test_packages_of_another_architecture_have_it_in_their_names(monkeypatch):
    entries = (
        '<Package type="deb" name="libc6:i386" version="any"/><Package type="deb" name="bash:amd64" version="any"/>'
    )
    tool = debian(monkeypatch).tool(APT, entries, quick=True)
    assert verified(tool) == {"libc6:i386": True, "bash:amd64": True}
    assert [extra.get("name") for extra in tool.find_extra()] == ["libc6", "nginx", "tzdata"]


def test_extra_packages_have_type_and_version(monkeypatch):
    tool = debian(monkeypatch).tool(APT, debs(bash="any", libc6="any", nginx="any"), quick=True)
    libc6, tzdata = tool.find_extra()
    assert dict(libc6.attrib) == {"name": "libc6:i386", "type": "deb", "current_version": "2.36"}
    assert tzdata.get("name") == "tzdata"


def test_a_changed_file_makes_a_package_bad_unless_it_is_managed_or_ignored(monkeypatch):
    changes = "debsums: changed file /etc/{0} (from {0} package)\n"
    answers = {
        f"/usr/bin/debsums -as {name}": (2, changes.format(name)) for name in ("bash", "nginx", "tzdata", "libc6")
    }
    machine = debian(monkeypatch, **answers)
    tool = machine.tool(
        APT,
        debs(bash="any", nginx="any", tzdata="any")
        + '<Package type="deb" name="libc6" version="any" verify="false"/>'
        + '<Path type="ignore" name="/etc/bash"/><Path type="file" name="/etc/nginx"/>',
    )
    assert verified(tool) == {"bash": True, "nginx": True, "tzdata": False, "libc6": True, "/etc/bash": True}
    assert tool.describe(entry(tool, "tzdata")) == ["changed: /etc/tzdata"]
    assert entry(tool, "tzdata").get("current_version") is None
    assert len(machine.ran("-as")) == 3


def test_quick_looks_at_no_content(monkeypatch):
    machine = debian(monkeypatch, **{"/usr/bin/debsums": (2, "debsums: changed file /etc/bash (from bash package)\n")})
    assert verified(machine.tool(APT, debs(bash="any"), quick=True)) == {"bash": True}


def test_without_debsums_dpkg_verifies(monkeypatch):
    machine = debian(
        monkeypatch, **{"/usr/bin/dpkg --admindir=/var/lib/dpkg --verify nginx": "??5??????   /usr/sbin/nginx\n"}
    )
    monkeypatch.setattr(shutil, "which", lambda name: None if name.endswith("debsums") else name)
    tool = machine.tool(APT, debs(bash="any", nginx="any"))
    assert verified(tool) == {"bash": True, "nginx": False}


def test_a_package_without_checksums_is_bad(monkeypatch):
    tool = debian(monkeypatch, **{"/usr/bin/debsums": (0, "debsums: no md5sums for bash\n")}).tool(
        APT, debs(bash="any")
    )
    assert verified(tool) == {"bash": False}


def test_all_packages_are_installed_by_one_command(monkeypatch):
    def install() -> str:
        machine.answers["/usr/bin/dpkg-query"] = DPKG.replace("1.22-1", "1.24-1").replace(
            "half-configured", "installed"
        )
        return ""

    machine = debian(monkeypatch, **{"/usr/bin/apt-get": install})
    tool = machine.tool(APT, debs(nginx="auto", exim4="any", nosuch="any", bash="9"), quick=True)
    verified(tool)
    names = ("nginx", "exim4", "nosuch", "bash")
    results = tool.install([entry(tool, name) for name in names])
    assert list(results.values()) == [True, True, False, False]
    (command,) = machine.ran("install")
    assert command.endswith("-y install nginx=1.24-1 exim4=4.96-15")
    assert tool.modified == [entry(tool, "nginx"), entry(tool, "exim4")]


def test_a_package_that_fails_does_not_keep_others_back(monkeypatch):
    def install():
        words = machine.commands[-1].split()
        if "exim4=4.96-15" in words:
            return (100, "E: exim4 has unmet dependencies")
        machine.answers["/usr/bin/dpkg-query"] = DPKG.replace("1.22-1", "1.24-1")
        return ""

    machine = debian(monkeypatch, **{"/usr/bin/apt-get": install})
    tool = machine.tool(APT, debs(exim4="any", nginx="auto"), quick=True)
    verified(tool)
    results = tool.install([entry(tool, "exim4"), entry(tool, "nginx")])
    assert list(results.values()) == [False, True]
    assert len(machine.ran("install")) == 3
    assert tool.modified == [entry(tool, "nginx")]


def test_a_broken_package_whose_reinstallation_fails_stays_bad(monkeypatch):
    answers = {
        "/usr/bin/debsums": (2, "debsums: changed file /usr/bin/x (from nginx package)\n"),
        "/usr/bin/apt-get": (100, "E: no"),
    }
    tool = debian(monkeypatch, **answers).tool(APT, debs(nginx="1.22-1", exim4="any"))
    verified(tool)
    assert not any(tool.install([entry(tool, "nginx"), entry(tool, "exim4")]).values())


def test_a_name_is_never_an_option(monkeypatch):
    machine = Machine(monkeypatch, {"/usr/bin/pacman -Q": PACMAN_Q})
    tool = machine.tool(Pacman, packages("pacman", **{"--root=/tmp": "any"}))
    assert list(tool.install(tool.entries).values()) == [False]
    assert machine.ran("-S") == []


def test_removed_packages_are_modified_and_no_longer_extra(monkeypatch):
    def purge():
        if machine.commands[-1].endswith("purge tzdata"):
            machine.answers["/usr/bin/dpkg-query"] = DPKG.replace("triggers-pending", "config-files")
            return ""
        return (1, "dpkg: dependency problems prevent removal of libc6:i386")

    machine = debian(monkeypatch, **{"/usr/bin/dpkg --admindir=/var/lib/dpkg --purge": purge})
    tool = machine.tool(APT, debs(bash="any", nginx="any", libc6="any"), quick=True)
    tool.extra = tool.find_extra()
    libc6, tzdata = tool.extra
    tool.remove([libc6, tzdata])
    assert (tool.modified, tool.extra) == ([tzdata], [libc6])


def test_kevlar_repairs_dpkg_first_but_not_in_a_dry_run(monkeypatch):
    machine = debian(monkeypatch)
    tool = machine.tool(APT, "", kevlar=True, dry_run=True)
    del machine.commands[:]
    tool.prepare()
    assert machine.commands == []
    tool = machine.tool(APT, "", kevlar=True)
    del machine.commands[:]
    tool.prepare()
    assert [command.split()[-1] for command in machine.commands] == ["--pending", "clean", "update"]


def test_other_places_are_told_to_apt(monkeypatch):
    machine = debian(monkeypatch)
    settings = {"apt_var_path": "/srv/var", "quick": True}
    tool = machine.tool(APT, debs(bash="auto"), **settings)
    assert "--admindir=/srv/var/lib/dpkg" in machine.commands[-1]
    verified(tool)
    assert "Dir::State=/srv/var/lib/apt" in machine.ran("policy")[0]


def test_a_list_that_cannot_be_read_makes_no_package_extra_and_none_good(monkeypatch):
    machine = debian(monkeypatch, **{"/usr/bin/dpkg-query": (2, "dpkg-query: error: the database is locked")})
    tool = machine.tool(APT, debs(bash="any"))
    with pytest.raises(InstallError, match="could not be read"):
        tool.verify(entry(tool, "bash"))
    assert tool.find_extra() == []


def test_a_question_names_the_versions(monkeypatch):
    tool = debian(monkeypatch).tool(APT, debs(nginx="auto", vim="any"), quick=True)
    verified(tool)
    assert tool.question(entry(tool, "nginx")) == "Install Package: nginx (version 1.22-1 -> 1.24-1)? (y/N): "
    assert tool.question(entry(tool, "vim")) == "Install Package: vim (version none -> any)? (y/N): "


@pytest.mark.skipif(not os.path.exists("/var/lib/dpkg/status"), reason="there is no dpkg, so APT is not tried for real")
def test_apt_reads_this_machine():
    tool = tool_of(APT, debs(dpkg="any", nosuch="any"), quick=True)
    assert verified(tool) == {"dpkg": True, "nosuch": False}
    assert "dpkg" not in {extra.get("name") for extra in tool.find_extra()}
    assert tool.newest("nosuch") is None


# Pacman

PACMAN_Q = "acl 2.3.1-3\nbash 5.1.016-4\nlinux 6.5.9.arch2-1\n"


def packages(kind: str, **versions: str) -> str:
    return "".join(f'<Package type="{kind}" name="{name}" version="{version}"/>' for name, version in versions.items())


def test_pacman(monkeypatch):
    def install() -> str:
        machine.answers["/usr/bin/pacman -Q"] = PACMAN_Q + "vim 9.0-1\n"
        return ""

    machine = Machine(monkeypatch, {"/usr/bin/pacman -Q": PACMAN_Q, "/usr/bin/pacman --needed": install})
    tool = machine.tool(Pacman, packages("pacman", acl="auto", bash="5.2-1", vim="any"))
    assert verified(tool) == {"acl": True, "bash": False, "vim": False}
    assert [extra.get("name") for extra in tool.find_extra()] == ["linux"]
    assert list(tool.install([entry(tool, "bash"), entry(tool, "vim")]).values()) == [False, True]
    assert machine.ran("-S") == ["/usr/bin/pacman --needed --noconfirm --noprogressbar -S bash vim"]
    tool.remove(tool.find_extra())
    assert machine.ran("-R") == ["/usr/bin/pacman --noconfirm --noprogressbar -R linux"]


# APK

APK_INFO = (
    "WARNING: opening from cache: No such file\nmusl-1.2.3-r4\nca-certificates-bundle-20220614-r4\nzlib-1.2.13-r0\n"
)


def test_apk(monkeypatch):
    machine = Machine(monkeypatch, {"/sbin/apk info -v": APK_INFO})
    names = {"musl": "any", "ca-certificates-bundle": "20220614-r4", "zlib": "1.2.14-r0", "vim": "auto"}
    tool = machine.tool(APK, packages("apk", **names))
    assert verified(tool) == {"musl": True, "ca-certificates-bundle": True, "zlib": False, "vim": False}
    tool.install([entry(tool, "zlib"), entry(tool, "vim")])
    assert machine.ran("add") == ["/sbin/apk add zlib=1.2.14-r0 vim"]


def test_apk_forgets_what_was_removed(monkeypatch):
    def delete() -> str:
        machine.answers["/sbin/apk info -v"] = APK_INFO.replace("zlib-1.2.13-r0\n", "")
        return ""

    machine = Machine(monkeypatch, {"/sbin/apk info -v": APK_INFO, "/sbin/apk del": delete})
    tool = machine.tool(APK, packages("apk", musl="any"))
    tool.extra = tool.find_extra()
    tool.remove([extra for extra in tool.extra if extra.get("name") == "zlib"])
    assert [extra.get("name") for extra in tool.extra] == ["ca-certificates-bundle"]
    assert machine.ran("del") == ["/sbin/apk del zlib"]


# Portage

EQUERY_LIST = """\
app-editors/vim-9.0.1503
app-shells/bash-5.1_p16-r6
dev-lang/python-3.10.12
dev-lang/python-3.11.4_p1
media-fonts/font-bh-75dpi-1.0.3-r3
net-misc/openssh-9.3_p2
sys-libs/db-5.3.28-r9
"""
EQUERY_CHECK = """\
* Checking net-misc/openssh-9.3_p2 ...
!!! /etc/ssh/sshd_config has incorrect MD5sum
!!! /usr/bin/sftp does not exist
!!! /usr/bin/ssh has wrong mtime (is 1690000000, should be 1680000000)
  * 120 out of 123 files passed
"""


def test_portage_tells_names_from_versions():
    assert parse_list(EQUERY_LIST) == {
        "app-editors/vim": ["9.0.1503"],
        "app-shells/bash": ["5.1_p16-r6"],
        "dev-lang/python": ["3.10.12", "3.11.4_p1"],
        "media-fonts/font-bh-75dpi": ["1.0.3-r3"],
        "net-misc/openssh": ["9.3_p2"],
        "sys-libs/db": ["5.3.28-r9"],
    }
    assert parse_check(EQUERY_CHECK) == ["/etc/ssh/sshd_config", "/usr/bin/sftp", "/usr/bin/ssh"]


def test_portage(monkeypatch):
    answers = {
        "/usr/bin/equery -q list": EQUERY_LIST,
        "/usr/bin/equery -N check =net-misc/openssh-9.3_p2": EQUERY_CHECK,
    }
    machine = Machine(monkeypatch, answers)
    versions = {
        "dev-lang/python": "3.10.12",
        "app-shells/bash": "5.2",
        "net-misc/openssh": "any",
        "app-editors/nano": "any",
    }
    tool = machine.tool(Portage, packages("ebuild", **versions), portage_binpkgonly=True)
    assert verified(tool) == {
        "dev-lang/python": True,
        "app-shells/bash": False,
        "net-misc/openssh": False,
        "app-editors/nano": False,
    }
    tool.install([entry(tool, name) for name in ("app-shells/bash", "app-editors/nano")])
    assert machine.ran("/usr/bin/emerge") == ["/usr/bin/emerge --getbinpkgonly =app-shells/bash-5.2 app-editors/nano"]


# FreeBSD

PKG_QUERY = "nginx 1.24.0_9,3\npkg 1.20.9\nvim 9.0.9\n"
PKG_RQUERY = "nginx 1.24.0_9,3\nnginx 1.24.0_13,3\nvim 9.0.10\nzsh 5.9\n"


def test_pkgng(monkeypatch):
    def compare() -> str:
        one, other = (text.rpartition("_")[2] for text in machine.commands[-1].split()[-2:])
        return (
            "<\n"
            if [int(x) for x in one.replace(",", ".").split(".")] < [int(x) for x in other.replace(",", ".").split(".")]
            else ">\n"
        )

    answers = {
        "/usr/sbin/pkg query": PKG_QUERY,
        "/usr/sbin/pkg rquery": PKG_RQUERY,
        "/usr/sbin/pkg version": compare,
        "/usr/sbin/pkg check -s pkg": (1, "pkg-1.20.9: missing file /usr/local/sbin/pkg\n"),
    }
    machine = Machine(monkeypatch, answers)
    tool = machine.tool(Pkgng, packages("pkgng", nginx="auto", vim="auto", pkg="any", zsh="any", gone="any"))
    assert verified(tool) == {"nginx": False, "vim": False, "pkg": False, "zsh": False, "gone": False}
    assert tool.differences[entry(tool, "nginx")]["version"].wanted == "1.24.0_13,3"
    assert tool.differences[entry(tool, "vim")]["version"].wanted == "9.0.10"
    tool.install([entry(tool, name) for name in ("nginx", "vim", "zsh", "gone")])
    assert machine.ran("install") == ["/usr/sbin/pkg install -fy -q nginx-1.24.0_13,3 vim-9.0.10 zsh"]
    assert [extra.get("name") for extra in tool.find_extra()] == []


def test_pkgng_is_left_out_where_its_program_is_not(monkeypatch):
    machine = Machine(monkeypatch)
    monkeypatch.setattr(pkgng.shutil, "which", lambda name: None)
    with pytest.raises(MissingPrerequisite, match="/opt/pkg"):
        machine.tool(Pkgng, "", pkgng_path="/opt/pkg")


# macOS


def test_homebrew_is_run_as_the_user_to_whom_it_belongs(monkeypatch, tmp_path):
    brew = tmp_path / "brew"
    brew.touch()
    monkeypatch.setattr(homebrew, "PLACES", (str(brew),))
    monkeypatch.setattr(homebrew.os, "geteuid", lambda: 0)
    monkeypatch.setattr(homebrew.os, "stat", lambda path: type("Stat", (), {"st_uid": 501}))
    machine = Machine(monkeypatch, {"/usr/bin/sudo": "wget 1.21.3\npython@3.11 3.11.6 3.11.6_1\n"})
    tool = machine.tool(HomeBrew, packages("homebrew", **{"wget": "any", "python@3.11": "3.11.6", "jq": "any"}))
    assert verified(tool) == {"wget": True, "python@3.11": True, "jq": False}
    tool.install([entry(tool, "jq")])
    assert f"/usr/bin/sudo -H -u '#501' -- {brew} install jq" in machine.commands


PORTS = """\
The following ports are currently installed:
  bzip2 @1.0.8_0 (active)
  python311 @3.11.5_0+lto+optimizations
  python311 @3.11.6_1+lto+optimizations (active)
  zlib @1.2.13_0 (active) requested_variants='' platform='darwin 22' archs='x86_64'
"""


def test_macports_knows_which_port_is_active(monkeypatch):
    assert parse_ports(PORTS)["python311"][-1] == "3.11.6_1+lto+optimizations"
    assert parse_ports("No ports are installed.\n") == {}
    machine = Machine(monkeypatch, {"/opt/local/bin/port installed": PORTS})
    tool = machine.tool(MacPorts, packages("macport", bzip2="1.0.8_0", zlib="1.2.13", python311="3.12_0"))
    assert verified(tool) == {"bzip2": True, "zlib": True, "python311": False}
    assert entry(tool, "python311").get("current_version") == "3.11.6_1+lto+optimizations"


# Solaris and illumos

PKG_LIST = """\
archiver/gnu-tar                                  1.34-151046.0              i--
network/openssh (omnios)                          9.3.1-151046.1             i--
"""


def test_ips(monkeypatch):
    newest = PKG_LIST.replace("1.34", "1.35")
    machine = Machine(monkeypatch, {"/usr/bin/pkg list -H": PKG_LIST, "/usr/bin/pkg list -H -n": newest})
    versions = {"archiver/gnu-tar": "auto", "network/openssh": "9.3.1-151046.1", "editor/vim": "9-1"}
    tool = machine.tool(IPS, packages("ips", **versions))
    assert verified(tool) == {"archiver/gnu-tar": False, "network/openssh": True, "editor/vim": False}
    tool.install([entry(tool, "archiver/gnu-tar"), entry(tool, "editor/vim")])
    assert machine.ran("install")[0] == "/usr/bin/pkg install --no-refresh archiver/gnu-tar editor/vim@9-1"
    tool.remove(machine.tool(IPS, "").find_extra())
    assert machine.ran("uninstall") == []
    assert IPS.conflicts == ("SYSV",)


PKGINFO = """\
SUNWcsr       Core Solaris, (Root)
              (i386) 11.11,REV=2009.11.11
SMCtop        top
              (i386) 3.7
"""


def test_sysv(monkeypatch, tmp_path):
    def add() -> str:
        assert Path(machine.commands[-1].split()[2]).read_text() == ADMIN
        source = Path(machine.commands[-1].split()[5])
        fetched.append(source.read_bytes() if source.exists() else source)
        machine.answers["/usr/bin/pkginfo -x"] = PKGINFO + "SMCvim        vim\n              (i386) 9.0\n"
        return ""

    fetched: list = []
    (tmp_path / "vim.pkg").write_bytes(b"a datastream")
    machine = Machine(monkeypatch, {"/usr/bin/pkginfo -x": PKGINFO, "/usr/sbin/pkgadd": add})
    machine.answers["/usr/sbin/pkgchk -n SMCtop"] = (1, "ERROR: /usr/bin/top\n    file size <1> expected <2> actual\n")
    tool = machine.tool(
        SYSV,
        packages("sysv", SUNWcsr="11.11,REV=2009.11.11", SMCtop="any", SMCgone="any")
        + f'<Package type="sysv" name="SMCvim" version="9.0" url="{tmp_path}" simplefile="vim.pkg"/>',
    )
    assert verified(tool) == {"SUNWcsr": True, "SMCtop": False, "SMCgone": False, "SMCvim": False}
    assert list(tool.install([entry(tool, "SMCgone"), entry(tool, "SMCvim")]).values()) == [False, True]
    assert fetched == [b"a datastream"]
    tool.remove(machine.tool(SYSV, "").find_extra()[:1])
    assert machine.ran("/usr/sbin/pkgrm")[0].endswith("/admin -n SMCtop")
