"""What can be set for the agent, on its command line and in bcfg2.conf.  The options of a tool are declared there."""

from bcfg2.client.tools import KNOWN
from bcfg2.options import (
    BASE_OPTIONS,
    SYSLOG,
    BooleanOption,
    ChoiceOption,
    ColonListOption,
    ComponentOption,
    Declaration,
    ExclusiveGroup,
    Option,
    PathOption,
    SizeOption,
    TimeoutOption,
    find_in,
)
from bcfg2.rpc import OPTIONS as RPC_OPTIONS

OPTIONS: list[Declaration] = [
    *BASE_OPTIONS,
    SYSLOG,
    *RPC_OPTIONS,
    Option("client", "profile", flags=("-p", "--profile"), help="Assert this profile first"),
    BooleanOption(
        "client",
        "exit_on_probe_failure",
        flags=("--exit-on-probe-failure",),
        default=True,
        help="End the run when a probe fails",
    ),
    TimeoutOption("client", "probe_timeout", help="Seconds that one probe may take"),
    SizeOption("client", "probe_output", default="1m", help="Bytes that one probe may write"),
    TimeoutOption("client", "command_timeout", help="Seconds that any other command may take"),
    SizeOption("client", "command_output", default="64m", help="Bytes that any other command may write"),
    ChoiceOption(
        "client",
        "decision",
        flags=("-l", "--decision"),
        choices=("none", "whitelist", "blacklist"),
        default="none",
        help="Let the server's decision list tell what may be installed",
    ),
    ExclusiveGroup(
        Option(flags=("-f", "--file"), help="Take the configuration from this file (- for standard input), no server"),
        Option(flags=("-c", "--cache"), help="Keep the received configuration in this file (- for standard output)"),
    ),
    BooleanOption(flags=("-n", "--dry-run"), help="Change nothing"),
    ExclusiveGroup(
        BooleanOption(flags=("-I", "--interactive"), help="Ask before every change"),
        BooleanOption(flags=("--json",), help="Print the result as JSON on standard output"),
    ),
    BooleanOption(flags=("-q", "--quick"), help="Leave out the verification of what packages contain"),
    ColonListOption(flags=("-b", "--only-bundles"), help="Install only these bundles"),
    ColonListOption(flags=("-B", "--except-bundles"), help="Install all bundles but these"),
    ExclusiveGroup(
        BooleanOption(
            flags=("-Q", "--bundle-quick"), help="With -b or -B: look at those bundles only, and report nothing"
        ),
        ChoiceOption(
            flags=("-r", "--remove"),
            choices=("all", "services", "packages", "users"),
            help="Remove extra entries of this kind",
        ),
    ),
    BooleanOption(flags=("-i", "--only-important"), help="Install only important files"),
    BooleanOption(flags=("-k", "--kevlar"), help="Repair the package system first, look again at everything last"),
    BooleanOption(flags=("-O", "--no-lock"), help="Ignore the lock"),
    PathOption("components", "lockfile", default="/var/lock/bcfg2.run", help="Lock file of the agent"),
    ComponentOption(
        "client",
        "drivers",
        flags=("-D", "--drivers"),
        default=KNOWN,
        find=find_in("bcfg2.client.tools"),
        multiple=True,
        on_missing="ignore",
        help="Tools, in the order in which they work",
    ),
    BooleanOption(flags=("-e", "--show-extra"), help="With -v: list extra entries at the end as well"),
    ChoiceOption(
        flags=("-s", "--service-mode"),
        choices=("default", "disabled", "build"),
        default="default",
        help="What to do with services",
    ),
    BooleanOption("client", "paranoid", flags=("-P", "--paranoid"), help="Keep copies of files that are replaced"),
]
