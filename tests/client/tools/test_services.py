"""What all services have in common, shown with Systemd, and how each tool reads and changes its machine."""

import plistlib

import pytest

from bcfg2.client.tools import chkconfig, debinit, freebsdinit, launchd, rcupdate, smf, systemd
from bcfg2.client.tools.base import InstallError
from bcfg2.client.tools.systemd import Systemd
from tests.client.tools.machine import Machine, entry, verified


def systemctl(monkeypatch, **units: tuple[str, str]) -> Machine:
    """A machine with UNITS: name -> active state, state of the unit file."""

    def show() -> str:
        asked = machine.commands[-1].split(" -- ")[1].split()
        states = [units.get(unit.partition(".")[0], ("inactive", "")) for unit in asked]
        return "\n".join(f"ActiveState={active}\nUnitFileState={file}\n" for active, file in states)

    machine = Machine(monkeypatch, {"/bin/systemctl show": show, "/bin/systemctl is-enabled": (1, "no such unit")})
    return machine


CRON = '<Service type="systemd" name="cron" status="on"/>'


def changes(machine: Machine) -> list[str]:
    """The systemctl commands that change something."""
    lookers = ("show", "is-enabled", "list-unit-files")
    words = (command.split()[1:] for command in machine.commands)
    return [" ".join(command) for command in words if command[0] not in lookers]


def test_all_units_are_asked_about_at_once(monkeypatch):
    machine = systemctl(monkeypatch, cron=("active", "enabled"), ssh=("active", "enabled"))
    tool = machine.tool(Systemd, CRON + '<Service type="systemd" name="ssh.socket" status="on"/>')
    assert verified(tool) == {"cron": True, "ssh.socket": True}
    assert len(machine.commands) == 1


def test_a_name_that_ends_the_answer_costs_only_its_own_entry(monkeypatch):
    def show() -> str:
        asked = machine.commands[-1].split(" -- ")[1].split()
        return "" if "b@d.service" in asked else "ActiveState=active\nUnitFileState=enabled\n"

    machine = Machine(monkeypatch, {"/bin/systemctl show": show, "/bin/systemctl is-enabled": (1, "")})
    tool = machine.tool(Systemd, CRON + '<Service type="systemd" name="b@d" status="on"/>')
    assert verified(tool) == {"cron": True, "b@d": False}


def test_a_unit_file_of_unclear_state_is_asked_about(monkeypatch):
    machine = systemctl(monkeypatch, cron=("active", "generated"))
    machine.answers["/bin/systemctl is-enabled"] = "enabled\n"
    assert verified(machine.tool(Systemd, CRON)) == {"cron": True}


@pytest.mark.parametrize(
    ("attributes", "unit", "good"),
    [
        ('status="on"', ("active", "disabled"), False),
        ('status="on"', ("failed", "enabled"), False),
        ('status="on"', ("reloading", "static"), True),
        ('status="off"', ("inactive", "disabled"), True),
        ('status="off"', ("activating", "disabled"), False),
        ('status="ignore"', ("active", "disabled"), True),
        ('status="ignore" bootstatus="on"', ("inactive", "disabled"), False),
        ('status="on" bootstatus="off"', ("active", "masked"), True),
    ],
)
def test_both_states_count_as_far_as_they_are_managed(monkeypatch, attributes, unit, good):
    machine = systemctl(monkeypatch, cron=unit)
    assert verified(machine.tool(Systemd, f'<Service type="systemd" name="cron" {attributes}/>')) == {"cron": good}


def test_the_entry_tells_what_was_found_and_wanted(monkeypatch):
    tool = systemctl(monkeypatch, cron=("active", "disabled")).tool(Systemd, CRON)
    verified(tool)
    cron = entry(tool, "cron")
    assert (cron.get("current_status"), cron.get("target_status")) == ("on", "on")


def test_a_status_that_is_no_status_is_an_error_not_a_stop(monkeypatch):
    machine = systemctl(monkeypatch, cron=("active", "enabled"))
    tool = machine.tool(Systemd, '<Service type="systemd" name="cron" status="yes"/>')
    with pytest.raises(InstallError, match="status"):
        tool.verify(entry(tool, "cron"))
    tool.bundle_updated(tool.configuration.structures[0])
    assert changes(machine) == []


@pytest.mark.parametrize(
    ("mode", "active", "wanted", "commands"),
    [
        ("default", "inactive", "on", ["enable cron.service", "start cron.service"]),
        ("default", "active", "off", ["disable cron.service", "stop cron.service"]),
        ("build", "active", "on", ["enable cron.service", "stop cron.service"]),
        ("build", "inactive", "on", ["enable cron.service"]),
        ("build", "active", "off", ["disable cron.service", "stop cron.service"]),
        ("disabled", "inactive", "on", ["enable cron.service"]),
        ("disabled", "active", "off", ["disable cron.service"]),
    ],
)
def test_the_service_mode_decides_what_is_started_and_stopped(monkeypatch, mode, active, wanted, commands):
    machine = systemctl(monkeypatch, cron=(active, "disabled" if wanted == "on" else "enabled"))
    tool = machine.tool(Systemd, f'<Service type="systemd" name="cron" status="{wanted}"/>', service_mode=mode)
    verified(tool)
    assert tool.install([entry(tool, "cron")]) == {entry(tool, "cron"): True}
    assert changes(machine) == commands
    assert tool.modified == [entry(tool, "cron")]


def test_a_service_that_cannot_be_enabled_is_not_started(monkeypatch):
    machine = systemctl(monkeypatch)
    machine.answers["/bin/systemctl enable"] = (5, "Unit cron.service not found")
    tool = machine.tool(Systemd, CRON)
    verified(tool)
    assert tool.install([entry(tool, "cron")]) == {entry(tool, "cron"): False}
    assert changes(machine) == ["enable cron.service"]
    assert tool.modified == []


def test_install_false_keeps_a_service_from_being_installed(monkeypatch):
    tool = systemctl(monkeypatch).tool(Systemd, '<Service type="systemd" name="cron" status="on" install="false"/>')
    assert not tool.can_install(entry(tool, "cron"))


def update(machine: Machine, attributes: str, **settings) -> list[str]:
    tool = machine.tool(Systemd, f'<Service type="systemd" name="cron" {attributes}/>', **settings)
    tool.bundle_updated(tool.configuration.structures[0])
    tool.bundle_updated(tool.configuration.structures[0])
    return changes(machine)


@pytest.mark.parametrize(
    ("attributes", "commands"),
    [
        ('status="on"', ["restart cron.service"]),
        ('status="on" target="reload"', ["reload cron.service"]),
        ('status="on" restart="false"', []),
        ('status="on" restart="interactive"', []),
        ('status="ignore" bootstatus="on"', []),
        ('status="on" failure="cannot be bound"', []),
        ("", []),
        ('status="off"', ["stop cron.service", "stop cron.service"]),
    ],
)
def test_a_change_of_the_bundle_restarts_once_and_stops_what_is_off(monkeypatch, attributes, commands):
    assert update(systemctl(monkeypatch), attributes) == commands


def test_a_change_of_the_bundle_in_other_modes(monkeypatch):
    assert update(systemctl(monkeypatch), 'status="on"', service_mode="disabled") == []
    assert update(systemctl(monkeypatch), 'status="on"', service_mode="build") == ["stop cron.service"] * 2


def test_interactive_mode_asks_before_restarts_and_stops(monkeypatch):
    machine = systemctl(monkeypatch)
    machine.reply = False
    assert update(machine, 'status="on" restart="interactive"', interactive=True) == []
    assert update(machine, 'status="off"', interactive=True) == []
    assert machine.questions[0] == "Restart service cron? (y/N) "
    assert machine.questions[1] == "Stop service cron? (y/N) "


def test_a_service_that_is_held_back_does_not_follow_its_bundle(monkeypatch):
    machine = systemctl(monkeypatch)
    tool = machine.tool(Systemd, CRON, permits=lambda entry: False)
    tool.bundle_updated(tool.configuration.structures[0])
    assert changes(machine) == []


def test_extra_units_are_found_and_switched_off_but_stay_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    wants = tmp_path / "multi-user.target.wants"
    wants.mkdir()
    for name in ("cron.service", "avahi-daemon.service"):
        (wants / name).symlink_to("/nowhere")
    machine = systemctl(monkeypatch, cron=("active", "enabled"))
    machine.answers["/bin/systemctl list-unit-files"] = (
        "apt-daily.timer enabled enabled\ngetty@.service enabled enabled\n"
    )
    tool = machine.tool(Systemd, CRON)
    tool.extra = tool.find_extra()
    assert [extra.get("name") for extra in tool.extra] == ["apt-daily.timer", "avahi-daemon.service"]
    tool.remove(tool.extra[1:])
    assert changes(machine) == ["disable avahi-daemon.service", "stop avahi-daemon.service"]
    assert len(tool.extra) == 2
    assert tool.modified == []


def test_a_unit_named_by_an_alias_is_not_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    machine = Machine(
        monkeypatch,
        {
            "/bin/systemctl show": "Names=ssh.service sshd.service\nActiveState=active\nUnitFileState=alias\n",
            "/bin/systemctl list-unit-files": "ssh.service enabled enabled\n",
        },
    )
    assert machine.tool(Systemd, '<Service type="systemd" name="sshd" status="on"/>').find_extra() == []


# Chkconfig

CHKCONFIG_LIST = """\
crond          \t0:off\t1:off\t2:on\t3:on\t4:on\t5:on\t6:off
netfs          \t0:off\t1:off\t2:off\t3:off\t4:off\t5:off\t6:off
sshd           \t0:off\t1:off\t2:on\t3:on\t4:on\t5:on\t6:off

xinetd based services:
\tchargen-dgram: \toff
\trsync:         \ton
"""


def test_chkconfig_reads_levels_and_services_of_xinetd(monkeypatch):
    machine = Machine(monkeypatch, {"/sbin/chkconfig --list": CHKCONFIG_LIST, "/sbin/service netfs status": (3, "")})
    names = ("crond", "netfs", "rsync")
    entries = "".join(f'<Service type="chkconfig" name="{name}" status="on"/>' for name in names)
    tool = machine.tool(chkconfig.Chkconfig, entries)
    assert verified(tool) == {"crond": True, "netfs": False, "rsync": True}
    assert [extra.get("name") for extra in tool.find_extra()] == ["sshd"]
    tool.install([entry(tool, "netfs")])
    assert machine.commands[-3:] == [
        "/sbin/chkconfig --add netfs",
        "/sbin/chkconfig netfs on",
        "/sbin/service netfs start",
    ]


def test_chkconfig_tells_what_it_does_not_know(monkeypatch):
    machine = Machine(monkeypatch, {"/sbin/chkconfig --list": CHKCONFIG_LIST})
    names = ("netfs", "nosuch")
    entries = "".join(f'<Service type="chkconfig" name="{name}" status="on"/>' for name in names)
    tool = machine.tool(chkconfig.Chkconfig, entries)
    verified(tool)
    assert [entry(tool, name).get("current_bootstatus") for name in names] == [None, "service not installed"]


def test_chkconfig_looks_at_nothing_that_is_ignored(monkeypatch):
    machine = Machine(monkeypatch, {"/sbin/chkconfig --list": CHKCONFIG_LIST})
    tool = machine.tool(chkconfig.Chkconfig, '<Service type="chkconfig" name="crond" status="ignore" bootstatus="on"/>')
    assert verified(tool) == {"crond": True}
    assert entry(tool, "crond").get("current_status") is None
    assert machine.ran("/sbin/service") == []


def test_chkconfig_starts_only_what_does_not_run(monkeypatch):
    machine = Machine(monkeypatch, {"/sbin/chkconfig --list": CHKCONFIG_LIST})
    tool = machine.tool(chkconfig.Chkconfig, '<Service type="chkconfig" name="netfs" status="on"/>')
    assert verified(tool) == {"netfs": False}
    tool.install([entry(tool, "netfs")])
    assert machine.ran("/sbin/service") == ["/sbin/service netfs status"]


# OpenRC

RC_UPDATE_SHOW = """\
             bootmisc | boot
                 sshd |      default
               nginx  |      default nonetwork
              urandom | boot
"""
RC_STATUS = """\
 bootmisc                                    [  started  ]
 nginx                                       [  crashed  ]
 ntpd                                        [  started 12 day(s) 02:11:40 (0) ]
 cronie                                      [  stopped  ]
"""


def test_rcupdate_reads_the_default_runlevel_and_what_is_started(monkeypatch):
    answers = {
        "/sbin/rc-update show": RC_UPDATE_SHOW,
        "/bin/rc-status -s": RC_STATUS,
        "/etc/init.d/bootmisc status": " * status: started\n",
        "/etc/init.d/nginx status": (32, ""),
    }
    machine = Machine(monkeypatch, answers)
    names = ("sshd", "nginx", "bootmisc")
    entries = "".join(f'<Service type="rc-update" name="{name}" status="on"/>' for name in names)
    tool = machine.tool(rcupdate.RcUpdate, entries)
    assert verified(tool) == {"sshd": True, "nginx": False, "bootmisc": False}
    assert [extra.get("name") for extra in tool.find_extra()] == ["ntpd"]
    del machine.commands[:]
    tool.install([entry(tool, "nginx"), entry(tool, "bootmisc")])
    assert machine.commands == ["/etc/init.d/nginx start", "/sbin/rc-update add bootmisc default"]


# System V on Debian


@pytest.fixture
def debian(monkeypatch, tmp_path):
    """A machine of System V scripts: ssh is started as the 20th."""
    for name, folder in (("SCRIPTS", "init.d"), ("RUNLEVELS", ""), ("VERSION", "debian_version")):
        monkeypatch.setattr(debinit, name, tmp_path / folder)
    monkeypatch.setattr(debinit, "LEGACY", tmp_path / "init.d/.legacy-bootordering")
    for folder in ("init.d", "rc0.d", "rc2.d", "rcS.d"):
        (tmp_path / folder).mkdir()
    for link in ("rc2.d/S20ssh", "rc0.d/K80ssh", "rc2.d/S91apache2", "rcS.d/S01udev", "rc2.d/README"):
        (tmp_path / link).touch()
    for script in ("ssh", "cron"):
        (tmp_path / "init.d" / script).touch()
    return Machine(monkeypatch, {"/usr/sbin/invoke-rc.d cron status": (3, "")})


def test_debinit_reads_the_links_of_runlevels(debian):
    tool = debian.tool(
        debinit.DebInit,
        '<Service type="deb" name="ssh" status="on"/><Service type="deb" name="cron" status="on"/>'
        '<Service type="deb" name="gone" status="off"/>',
    )
    assert verified(tool) == {"ssh": True, "cron": False, "gone": False}
    assert [entry(tool, name).get("current_bootstatus") for name in ("ssh", "cron")] == [None, "off"]
    assert [extra.get("name") for extra in tool.find_extra()] == ["apache2"]
    del debian.commands[:]
    assert list(tool.install([entry(tool, "cron"), entry(tool, "gone")]).values()) == [True, False]
    assert debian.commands == ["/usr/sbin/update-rc.d cron defaults", "/usr/sbin/invoke-rc.d cron start"]
    tool.remove(tool.find_extra())
    assert len(debian.commands) == 2


def test_debinit_orders_services_only_where_numbers_count(debian, tmp_path, caplog):
    ssh = '<Service type="deb" name="ssh" status="on" sequence="30"/>'
    tool = debian.tool(debinit.DebInit, ssh)
    assert verified(tool) == {"ssh": True}
    assert "sequence is ignored" in caplog.text
    (tmp_path / "init.d/.legacy-bootordering").touch()
    tool = debian.tool(debinit.DebInit, ssh)
    assert verified(tool) == {"ssh": False}
    del debian.commands[:]
    tool.install([entry(tool, "ssh")])
    assert debian.commands == ["/usr/sbin/update-rc.d -f ssh remove", "/usr/sbin/update-rc.d ssh defaults 30 70"]


# FreeBSD


def test_freebsdinit_sets_the_variables_of_a_service(monkeypatch):
    answers = {
        "/usr/sbin/service -l": "nginx\nsshd\n",
        "/usr/sbin/service -e": "/etc/rc.d/hostid\n/etc/rc.d/sshd\n",
        "/usr/sbin/service nginx enabled": (1, ""),
        "/usr/sbin/service gone enabled": (1, "gone does not exist in /etc/rc.d"),
        "/usr/sbin/service nginx onestatus": "nginx is running as pid 641.\n",
        "/usr/sbin/service nginx rcvar": '# nginx\n#\nnginx_enable="NO"\n#   (default: "")\n',
    }
    machine = Machine(monkeypatch, answers)
    names = ("sshd", "nginx", "gone")
    entries = "".join(f'<Service type="freebsd" name="{name}" status="on"/>' for name in names)
    tool = machine.tool(freebsdinit.FreeBSDInit, entries)
    assert verified(tool) == {"sshd": True, "nginx": False, "gone": False}
    assert [extra.get("name") for extra in tool.find_extra()] == ["hostid"]
    del machine.commands[:]
    assert list(tool.install([entry(tool, "nginx"), entry(tool, "gone")]).values()) == [True, False]
    assert machine.commands == ["/usr/sbin/service nginx rcvar", "/usr/sbin/sysrc nginx_enable=YES"]


def test_freebsdinit_stops_what_is_not_enabled_any_more(monkeypatch):
    answers = {
        "/usr/sbin/service -l": "nginx\n",
        "/usr/sbin/service nginx rcvar": '# nginx\nnginx_enable="YES"\nnginx_dual_enable=""\n',
    }
    machine = Machine(monkeypatch, answers)
    tool = machine.tool(freebsdinit.FreeBSDInit, '<Service type="freebsd" name="nginx" status="off"/>')
    assert verified(tool) == {"nginx": False}
    tool.install([entry(tool, "nginx")])
    assert machine.commands[-3:] == [
        "/usr/sbin/sysrc nginx_enable=NO",
        "/usr/sbin/sysrc nginx_dual_enable=NO",
        "/usr/sbin/service nginx onestop",
    ]


# Solaris and illumos

SVCS = """\
svc:/network/ssh:default                           ON
svc:/network/http:apache24                         MNT
svc:/network/telnet:default                        DIS
svc:/system/cron:default                           ON*
lrc:/etc/rc2_d/S47pppd                             LRC
"""


def test_smf_enables_clears_and_disables(monkeypatch):
    machine = Machine(monkeypatch, {"/usr/bin/svcs -a": SVCS, "/usr/bin/svcs -H -o STA network/http": "MNT\n"})
    tool = machine.tool(
        smf.SMF,
        '<Service type="smf" name="ssh" status="off" FMRI="svc:/network/ssh:default"/>'
        '<Service type="smf" name="http" status="on" FMRI="network/http"/>'
        '<Service type="smf" name="telnet" status="on" FMRI="svc:/network/telnet:default"/>'
        '<Service type="smf" name="nameless" status="on"/>',
    )
    assert verified(tool) == {"ssh": False, "http": False, "telnet": False}
    assert [extra.get("FMRI") for extra in tool.find_extra()] == [
        "lrc:/etc/rc2_d/S47pppd",
        "svc:/network/http:apache24",
        "svc:/system/cron:default",
    ]
    del machine.commands[:]
    tool.install([entry(tool, name) for name in ("ssh", "http", "telnet")])
    assert machine.commands == [
        "/usr/sbin/svcadm disable svc:/network/ssh:default",
        "/usr/sbin/svcadm clear -r network/http",
        "/usr/sbin/svcadm enable -r svc:/network/telnet:default",
    ]


def test_smf_renames_scripts_of_system_v(monkeypatch, tmp_path):
    folder = tmp_path / "rc2.d"
    folder.mkdir()
    (folder / "DISABLED.S47pppd").touch()
    machine = Machine(monkeypatch)
    fmri = f"lrc:{tmp_path}/rc2_d/S47pppd"
    tool = machine.tool(smf.SMF, f'<Service type="smf" name="pppd" status="on" FMRI="{fmri}"/>')
    assert verified(tool) == {"pppd": False}
    assert tool.install([entry(tool, "pppd")]) == {entry(tool, "pppd"): True}
    assert [path.name for path in folder.iterdir()] == ["S47pppd"]
    assert verified(tool) == {"pppd": True}


# macOS

LAUNCHCTL_LIST = "PID\tStatus\tLabel\n-\t0\tcom.apple.smbd\n312\t0\torg.ntp.ntpd\n"


def test_launchd_loads_by_the_file_that_has_the_label(monkeypatch, tmp_path):
    monkeypatch.setattr(launchd, "FOLDERS", (tmp_path,))
    for fmt in (plistlib.FMT_XML, plistlib.FMT_BINARY):
        (tmp_path / f"{fmt.name}.plist").write_bytes(plistlib.dumps({"Label": f"net.{fmt.name}"}, fmt=fmt))
    (tmp_path / "broken.plist").write_bytes(b"<plist><dict>")
    machine = Machine(monkeypatch, {"/bin/launchctl list": LAUNCHCTL_LIST})
    names = ("org.ntp.ntpd", "net.FMT_XML", "net.FMT_BINARY", "gone")
    tool = machine.tool(
        launchd.launchd, "".join(f'<Service type="launchd" name="{name}" status="on"/>' for name in names)
    )
    assert verified(tool) == dict(zip(names, (True, False, False, False)))
    assert [extra.get("name") for extra in tool.find_extra()] == ["com.apple.smbd"]
    del machine.commands[:]
    assert list(tool.install([entry(tool, name) for name in names[1:]]).values()) == [True, True, False]
    assert machine.commands[:2] == [
        f"/bin/launchctl load -w {tmp_path}/FMT_XML.plist",
        "/bin/launchctl start net.FMT_XML",
    ]
