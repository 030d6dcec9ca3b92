"""YUM and RPM compare RPM's database with entries that ask for instances of packages."""

import shlex
import shutil
from pathlib import Path

import pytest

from bcfg2.client.tools import rpmkeys, yum
from bcfg2.client.tools.base import InstallError, MissingPrerequisite
from bcfg2.client.tools.rpm import RPM
from bcfg2.client.tools.rpmdb import RPM_FORMAT, Instance, compare_versions, parse_instances, parse_verification
from bcfg2.client.tools.rpmkeys import Key, import_key
from bcfg2.client.tools.yum import YUM, parse_group
from tests.client.tools.machine import Machine, entry, verified

INSTALLED = """\
bash\t0\t5.1.8\t6.el9\tx86_64
glibc\t0\t2.34\t60.el9\tx86_64
glibc\t0\t2.34\t60.el9\ti686
kernel\t0\t5.14.0\t70.el9\tx86_64
kernel\t0\t5.14.0\t284.el9\tx86_64
postfix\t2\t3.5.9\t18.el9\tx86_64
gpg-pubkey\t(none)\t8d8b756f\t629e59ec\t(none)
"""
AVAILABLE = """\
bash\t0\t5.1.8\t9.el9\tx86_64

glibc\t0\t2.34\t83.el9\ti686
glibc\t0\t2.34\t83.el9\tx86_64
vim\t2\t8.2.2637\t20.el9\tx86_64
"""


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.9", "1.10"),
        ("1.0", "1.0.1"),
        ("1.0~rc1", "1.0"),
        ("1.0", "1.0^git1"),
        ("1.0^git1", "1.0.1"),
        ("1.0a", "1.0b"),
        ("1.a", "1.1"),
        ("70.el9", "284.el9"),
        ("fc4", "fc.4.1"),
    ],
)
def test_versions_are_compared_segment_by_segment(older, newer):
    assert compare_versions(older, newer) < 0
    assert compare_versions(newer, older) > 0
    assert compare_versions(older, older) == 0


def test_what_separates_segments_does_not_count_and_neither_do_zeros():
    assert compare_versions("1.0_1", "1.0.01") == 0


def test_the_verification_of_rpm_names_files_kinds_and_markers():
    problems = parse_verification(
        "S.5....T.  c /etc/sudoers\n"
        ".M...UG..    /var/a b\n"
        "missing   d /usr/share/doc/x\n"
        "missing     /usr/bin/x (Permission denied)\n"
        "..?......    /usr/bin/secret\n"
        "Unsatisfied dependencies for a-1-1.noarch:\n"
    )
    assert [problem.path for problem in problems] == [
        "/etc/sudoers",
        "/var/a b",
        "/usr/share/doc/x",
        "/usr/bin/x",
        "/usr/bin/secret",
    ]
    assert (problems[0].kinds, problems[0].marker) == ({"size", "md5", "mtime"}, "c")
    assert problems[1].kinds == {"mode", "user", "group"}
    assert problems[2].kinds == {"missing"}


def test_instances_are_read_with_epochs_and_keys():
    assert parse_instances("no package provides mta\n" + INSTALLED)[-1] == Instance(
        "gpg-pubkey", "0", "8d8b756f", "629e59ec", ""
    )
    assert parse_instances(INSTALLED)[5].full == "postfix-2:3.5.9-18.el9.x86_64"


@pytest.fixture
def machine(monkeypatch) -> Machine:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    answers = {
        "/bin/rpm -qa": INSTALLED,
        "/usr/bin/dnf -q repoquery": AVAILABLE,
        "/bin/rpm -q --whatprovides": "no package provides it\n",
        "/bin/rpm -q --whatprovides --qf": INSTALLED.splitlines()[3] + "\n",
    }
    return Machine(monkeypatch, answers)


def provides(machine: Machine, name: str, output: str) -> None:

    words = ["/bin/rpm", "-q", "--whatprovides", "--qf", RPM_FORMAT, "--", name]
    machine.answers[shlex.join(words)] = output


def yums(**versions: str) -> str:
    return "".join(f'<Package type="yum" name="{name}" version="{version}"/>' for name, version in versions.items())


def test_versions_of_yum_are_exact_any_or_the_newest(machine):
    provides(machine, "vim", "")
    tool = machine.tool(YUM, yums(bash="auto", glibc="any", postfix="3.5.9", vim="auto"))
    assert verified(tool) == {"bash": False, "glibc": True, "postfix": True, "vim": False}
    assert entry(tool, "bash").get("current_version") == "0:5.1.8-6.el9"
    assert entry(tool, "bash").get("version") == "0:5.1.8-9.el9"
    assert entry(tool, "bash").get("package_fail_action") == "update"
    assert entry(tool, "vim").get("current_exists") == "false"
    assert tool.describe(entry(tool, "bash")) == ["version 0:5.1.8-6.el9 is installed, should be 0:5.1.8-9.el9"]
    assert len(machine.ran("repoquery")) == 1


def test_auto_is_the_newest_for_each_installed_architecture(machine):
    tool = machine.tool(YUM, yums(glibc="auto"))
    assert verified(tool) == {"glibc": False}
    tool.install([entry(tool, "glibc")])
    (command,) = machine.ran("install")
    assert sorted(command.split()[3:]) == ["glibc-0:2.34-83.el9.i686", "glibc-0:2.34-83.el9.x86_64"]


def test_instances_ask_for_architectures_and_further_ones_make_the_entry_bad(machine):
    instances = '<Package type="yum" name="glibc"><Instance version="2.34" release="60.el9" arch="{}"/>{}</Package>'
    both = '<Instance version="any" arch="i686"/>'
    assert verified(machine.tool(YUM, instances.format("x86_64", both))) == {"glibc": True}
    tool = machine.tool(YUM, instances.format("x86_64", ""))
    assert verified(tool) == {"glibc": False}
    assert tool.describe(entry(tool, "glibc")) == ["installed as well: glibc-0:2.34-60.el9.i686"]
    tool = machine.tool(YUM, instances.format("aarch64", both))
    assert verified(tool) == {"glibc": False}
    assert entry(tool, "glibc")[0].get("current_exists") == "false"
    assert entry(tool, "glibc").get("current_exists") is None


def test_further_instances_are_removed_only_with_the_option(machine):
    text = '<Package type="yum" name="glibc"><Instance version="any" arch="x86_64"/></Package>'
    for option, commands in ((None, []), ("packages", ["/usr/bin/dnf -y remove glibc-0:2.34-60.el9.i686"])):
        tool = machine.tool(YUM, text, remove=option)
        verified(tool)
        assert list(tool.install([entry(tool, "glibc")]).values()) == [False]
        assert machine.ran("remove") == commands


def test_kernels_and_keys_may_be_installed_several_times(machine):
    text = yums(kernel="5.14.0-284.el9") + yums(**{"gpg-pubkey": "8d8b756f"})
    assert verified(machine.tool(YUM, text)) == {"kernel": True, "gpg-pubkey": True}
    assert verified(machine.tool(YUM, text, kevlar=True))["kernel"] is False


def test_a_capability_is_provided_by_a_package_which_is_then_not_extra(machine):
    provides(machine, "mta", INSTALLED.splitlines()[5] + "\n")
    tool = machine.tool(YUM, yums(mta="any", bash="any", kernel="any"))
    assert verified(tool)["mta"] is True
    assert [extra.get("name") for extra in tool.find_extra()] == ["glibc", "gpg-pubkey"]


def test_extra_packages_list_their_instances(machine):
    extra = machine.tool(YUM, yums(bash="any", kernel="any", postfix="any")).find_extra()
    assert [child.get("arch") for child in extra[0]] == ["x86_64", "i686"]
    assert extra[0].get("type") == "yum"


def test_files_count_unless_they_are_managed_ignored_flagged_ghosts_or_links(machine):
    machine.answers["/bin/rpm --verify --nodeps --noscripts -- bash-5.1.8-6.el9.x86_64"] = (
        "S.5....T.  c /etc/managed\n..5......    /etc/ignored\n.......T.    /etc/time\n..5......    /etc/own\n"
        "missing   g /run/ghost\nmissing     /usr/bin/link\n"
    )
    machine.answers["/bin/rpm -q --qf '[%{FILENAMES}"] = "/usr/bin/link\tbash\n/usr/bin/bash\t\n"
    paths = '<Path type="file" name="/etc/managed"/><Path type="ignore" name="/etc/ignored"/>'
    text = '<Package type="yum" name="bash" version="any" verify_flags="nomtime"><Ignore name="/etc/own"/></Package>'
    assert verified(machine.tool(YUM, text + paths))["bash"] is True
    tool = machine.tool(YUM, yums(bash="any") + paths)
    assert verified(tool)["bash"] is False
    assert tool.describe(entry(tool, "bash")) == ["changed: /etc/time, /etc/own"]
    assert verified(machine.tool(YUM, yums(bash="any"), quick=True))["bash"] is True
    assert verified(machine.tool(YUM, yums(bash="any"), yum_pkg_verify=False))["bash"] is True


def test_of_several_architectures_only_what_all_have_counts(machine):
    machine.answers["/bin/rpm --verify --nodeps --noscripts -- glibc-2.34-60.el9.i686"] = "..5......    /lib/x\n"
    assert verified(machine.tool(YUM, yums(glibc="any"))) == {"glibc": True}
    machine.answers["/bin/rpm --verify --nodeps --noscripts -- glibc-2.34-60.el9.x86_64"] = "..5......    /lib/x\n"
    assert verified(machine.tool(YUM, yums(glibc="any"))) == {"glibc": False}


def test_missing_wrong_and_broken_packages_are_installed_and_one_that_cannot_be_is_left_out(machine):
    def install():
        if "--skip-broken" not in machine.commands[-1]:
            return (1, "Error: Unable to find a match: nosuch")
        machine.answers["/bin/rpm -qa"] = INSTALLED.replace("6.el9", "9.el9") + "vim\t2\t8.2\t1\tx86_64\n"
        return ""

    provides(machine, "vim", "")
    provides(machine, "nosuch", "")
    machine.answers["/usr/bin/dnf -y install"] = install
    machine.answers["/bin/rpm --verify --nodeps --noscripts -- postfix-3.5.9-18.el9.x86_64"] = "..5......    /usr/x\n"
    tool = machine.tool(YUM, yums(bash="auto", vim="any", nosuch="any", postfix="any"))
    verified(tool)
    machine.answers.pop("/bin/rpm --verify --nodeps --noscripts -- postfix-3.5.9-18.el9.x86_64")
    results = tool.install(tool.entries)
    assert list(results.values()) == [True, True, False, True]
    assert machine.ran("install")[-1] == "/usr/bin/dnf -y install --skip-broken bash-0:5.1.8-9.el9.x86_64 vim nosuch"
    assert machine.ran("reinstall") == ["/usr/bin/dnf -y reinstall postfix-2:3.5.9-18.el9.x86_64"]
    assert len(tool.modified) == 3


def test_switches_keep_yum_from_installing(machine):
    provides(machine, "vim", "")
    tool = machine.tool(
        YUM, yums(bash="auto", vim="any"), yum_install_missing=False, yum_fix_version=False, yum_pkg_verify=False
    )
    verified(tool)
    assert not any(tool.install(tool.entries).values())
    assert machine.ran("install") == []


GROUP = """\
Group: Development Tools
 Description: A basic development environment.
 Mandatory Packages:
   bash
   glibc
 Default Packages:
   byacc
 Optional Packages:
   cmake
"""
GROUP_5 = """\
Id                   : development
Name                 : Development Tools
Mandatory packages   : bash
                     : glibc
Default packages     : byacc
Optional packages    : cmake
"""


@pytest.mark.parametrize("output", [GROUP, GROUP_5])
def test_groups_read_the_same_from_both_releases_of_dnf(output):
    assert parse_group(output) == {"mandatory": ["bash", "glibc"], "default": ["byacc"], "optional": ["cmake"]}


def test_a_group_is_all_its_packages(machine):
    machine.answers["/usr/bin/dnf -q group info"] = GROUP
    provides(machine, "byacc", "")
    text = '<Package type="yum" group="development" choose="{}"/>'
    assert list(verified(machine.tool(YUM, text.format("mandatory"))).values()) == [True]
    tool = machine.tool(YUM, text.format("default"))
    assert list(verified(tool).values()) == [False]
    assert "glibc" not in {extra.get("name") for extra in tool.find_extra()}
    tool.install(tool.entries)
    assert machine.ran("install")[-2:] == ["/usr/bin/dnf -y install byacc"]
    with pytest.raises(InstallError, match="choose"):
        tool = machine.tool(YUM, text.format("some"))
        tool.verify(tool.entries[0])


def test_yum_tells_dnf_which_plugins_to_use(machine):
    tool = machine.tool(YUM, "", yum_disabled_plugins=("a", "b"), yum_enabled_plugins=("c",))
    assert tool._dnf == ["/usr/bin/dnf", "--disableplugin=a,b", "--enableplugin=c"]


def test_yum_takes_the_place_of_rpm_and_is_left_out_without_dnf(machine, monkeypatch):
    assert YUM.conflicts == ("RPM",)
    monkeypatch.setattr(yum.shutil, "which", lambda name: None if "dnf" in name else name)
    with pytest.raises(MissingPrerequisite, match="dnf"):
        machine.tool(YUM, "")


def test_yum_removes_no_keys(machine):
    tool = machine.tool(YUM, yums(bash="any", kernel="any", postfix="any"))
    tool.extra = tool.find_extra()
    machine.answers["/bin/rpm -qa"] = "\n".join(line for line in INSTALLED.splitlines() if "glibc" not in line)
    tool.remove(list(tool.extra))
    assert machine.ran("remove") == ["/usr/bin/dnf -y remove glibc-0:2.34-60.el9.x86_64 glibc-0:2.34-60.el9.i686"]
    assert [extra.get("name") for extra in tool.extra] == ["gpg-pubkey"]
    assert [gone.get("name") for gone in tool.modified] == ["glibc"]


def test_a_package_needs_a_version_or_instances(machine):
    tool = machine.tool(
        YUM, '<Package type="yum" name="a"/><Package type="yum" name="b"><Instance version="1"/></Package>'
    )
    assert [tool.missing_attributes(package) for package in tool.entries] == [["version"], []]


# Keys

SHOW_KEYS = "tru::1\npub:-:4096:1:702D426D350D275D:1527269388:::-:::scESC::::::23::0:\nuid:-::::1527269388::X::R::\n"


def test_a_key_is_imported_only_if_it_is_the_wanted_one(machine, tmp_path: Path):
    key = tmp_path / "key"
    key.write_bytes(b"a key")
    machine.answers["gpg"] = SHOW_KEYS
    tool = machine.tool(YUM, "")
    import_key(tool, str(key), Key("350d275d", "5b08480c"))
    assert len(machine.ran("--import")) == 1
    with pytest.raises(InstallError, match="350d275d-5b08480c"):
        import_key(tool, f"file://{key}", Key("350d275d", "00000000"))
    with pytest.raises(InstallError, match="cannot be read"):
        import_key(tool, str(tmp_path / "none"), Key("", ""))
    assert len(machine.ran("--import")) == 1


def test_yum_imports_the_keys_of_instances(machine, monkeypatch):
    monkeypatch.setattr(yum, "import_key", lambda tool, source, key: imported.append((source, key)))
    imported: list = []
    text = (
        '<Package type="yum" name="gpg-pubkey" uri="http://keys/">'
        '<Instance version="350d275d" release="5b08480c" simplefile="k.asc"/>'
        '<Instance version="8d8b756f" release="629e59ec" simplefile="other"/></Package>'
    )
    tool = machine.tool(YUM, text)
    verified(tool)
    tool.install(tool.entries)
    assert imported == [("http://keys/k.asc", Key("350d275d", "5b08480c"))]
    assert rpmkeys.parse_keys(SHOW_KEYS) == [Key("350d275d", "5b08480c")]


# RPM


def test_rpm_installs_files_and_falls_back_to_one_by_one(machine):
    def upgrade():
        if "bad.rpm" in machine.commands[-1]:
            return (1, "error: open of bad.rpm failed")
        machine.answers["/bin/rpm -qa"] = INSTALLED + "vim\t0\t9\t1\tx86_64\n"
        return ""

    provides(machine, "vim", "")
    machine.answers["/bin/rpm --upgrade"] = upgrade
    tool = machine.tool(
        RPM,
        '<Package type="rpm" name="vim" version="9-1" url="http://x/vim.rpm"/>'
        '<Package type="rpm" name="bash" uri="http://x">'
        '<Instance version="5.2" release="1" simplefile="bad.rpm"/></Package>'
        '<Package type="rpm" name="kernel" version="6-1" url="/k.rpm"/>'
        '<Package type="rpm" name="postfix" version="9-1"/>',
    )
    verified(tool)
    assert list(tool.install(tool.entries).values()) == [True, False, False, False]
    assert machine.ran("--upgrade") == [
        f"/bin/rpm --upgrade --quiet --oldpackage --replacepkgs {files}"
        for files in ("http://x/vim.rpm http://x/bad.rpm", "http://x/vim.rpm", "http://x/bad.rpm")
    ]
    assert machine.ran("--install") == ["/bin/rpm --install --quiet --oldpackage --replacepkgs /k.rpm"]


def test_rpm_does_not_reinstall_for_configuration_files(machine):
    verify = "/bin/rpm --verify --nodeps --noscripts --nosignature -- bash-5.1.8-6.el9.x86_64"
    machine.answers[verify] = "S.5....T.  c /etc/bashrc\n"
    text = '<Package type="rpm" name="bash" version="5.1.8-6.el9" url="/bash.rpm"/>'
    tool = machine.tool(RPM, text)
    assert verified(tool) == {"bash": False}
    tool.install(tool.entries)
    assert machine.ran("/bash.rpm") == []
    machine.answers[verify] += "..5......    /usr/bin/bash\n"
    tool = machine.tool(RPM, text)
    verified(tool)
    tool.install(tool.entries)
    assert len(machine.ran("/bash.rpm")) == 1


def test_rpm_erases_with_flags_but_no_keys(machine):
    tool = machine.tool(RPM, "", rpm_erase_flags=("allmatches", "noscripts", "delete-everything"))
    tool.extra = tool.find_extra()
    tool.remove([extra for extra in tool.extra if extra.get("name") in ("bash", "gpg-pubkey")])
    assert machine.ran("--erase") == ["/bin/rpm --erase --allmatches --noscripts bash-5.1.8-6.el9.x86_64"]
