"""A real LDAP server for tests: Debian's slapd, in a folder of its own, on a loopback port."""

import contextlib
import shutil
import socket
import subprocess
from pathlib import Path

from tests.support import await_condition, free_port

SLAPD = shutil.which("slapd") or shutil.which("slapd", path="/usr/sbin:/usr/local/sbin:/usr/local/libexec")

SUFFIX = "dc=example,dc=com"
BIND_DN = f"cn=admin,{SUFFIX}"
BIND_PASSWORD = "ldap-secret"

_CONFIG = """\
attributetype ( 1.3.6.1.4.1.55555.1 NAME 'o' SUP name )
attributetype ( 1.3.6.1.4.1.55555.2 NAME 'dc' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.55555.3 NAME 'host' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.55555.4 NAME 'domain' SUP top STRUCTURAL MUST dc MAY o )
objectclass ( 1.3.6.1.4.1.55555.5 NAME 'admin' SUP top STRUCTURAL MUST cn MAY host )
pidfile {folder}/slapd.pid
{modules}
database {backend}
suffix "{suffix}"
rootdn "{bind_dn}"
rootpw {password}
{directory}
access to dn.exact="cn=carol,cn=bob,{suffix}" by users read by * none
access to * by * read
"""

_ENTRIES = f"""\
dn: {SUFFIX}
objectClass: domain
dc: example

dn: cn=alice,{SUFFIX}
objectClass: admin
cn: alice
host: client.example.com

dn: cn=bob,{SUFFIX}
objectClass: admin
cn: bob
host: client.example.com
host: other.example.com

dn: cn=carol,cn=bob,{SUFFIX}
objectClass: admin
cn: carol
"""


class Slapd:
    """A server in FOLDER with a few entries; :meth:`start` and :meth:`stop` may be called again and again."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "data").mkdir(parents=True)
        self._configure()
        self._fill()

    def _configure(self) -> None:
        modules = "modulepath /usr/lib/ldap\nmoduleload back_mdb" if Path("/usr/lib/ldap/back_mdb.la").exists() else ""
        text = _CONFIG.format(
            folder=self.folder,
            modules=modules,
            backend="mdb",
            suffix=SUFFIX,
            bind_dn=BIND_DN,
            password=BIND_PASSWORD,
            directory=f"directory {self.folder}/data\nmaxsize 1048576",
        )
        (self.folder / "slapd.conf").write_text(text)

    def _fill(self) -> None:
        (self.folder / "entries.ldif").write_text(_ENTRIES)
        slapadd = [str(SLAPD), "-T", "add", "-f", f"{self.folder}/slapd.conf", "-l", f"{self.folder}/entries.ldif"]
        done = subprocess.run(slapadd, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self) -> "Slapd":
        """Start the server and wait until it answers."""
        with (self.folder / "slapd.log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(SLAPD), "-d", "0", "-h", self.uri, "-f", f"{self.folder}/slapd.conf"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await_condition(self._answers)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "slapd.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def stop(self) -> None:
        """Stop the server; all connections end."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
