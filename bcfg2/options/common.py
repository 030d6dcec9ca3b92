"""Options that several commands share.  What belongs to one plugin or server part is declared there."""

from bcfg2.options.components import find_in
from bcfg2.options.option import (
    BooleanOption,
    ChoiceOption,
    ColonListOption,
    ComponentOption,
    ConfigFileOption,
    FloatOption,
    IntOption,
    Option,
    PathOption,
)

#: The main configuration file; every command has this option.
CONFIG = PathOption(
    flags=("-C", "--config"), env="BCFG2_CONFIG_FILE", default="/etc/bcfg2.conf", help="Configuration file"
)
#: The file of the database and the web pages.
WEB_CONFIG = ConfigFileOption(
    "reporting",
    "config",
    flags=("-W", "--web-config"),
    default="/etc/bcfg2-web.conf",
    help="Configuration file of the database and the web pages, read after the main one",
)

ENCODING = Option(
    "components",
    "encoding",
    flags=("-E", "--encoding"),
    default="UTF-8",
    help="Encoding of templates, probes and configuration files",
)
REPOSITORY = PathOption(
    "server", "repository", flags=("-Q", "--repository"), default="/var/lib/bcfg2", help="The server's repository"
)
PLUGINS = ComponentOption(
    "server",
    "plugins",
    default=["Bundler", "Cfg", "Metadata", "Pkgmgr", "Rules", "SSHbase"],
    find=find_in("bcfg2.server.plugins"),
    multiple=True,
    on_missing="warn",
    help="Plugins of the server",
)

# Logging
DEBUG = BooleanOption("logging", "debug", flags=("-d", "--debug"), help="Log for finding faults")
VERBOSE = BooleanOption("logging", "verbose", flags=("-v", "--verbose"), help="Log what is done")
LOGFILE = PathOption("logging", "path", flags=("-o", "--logfile"), help="Append the log to this file")
SYSLOG = BooleanOption("logging", "syslog", default=True, help="Log to syslog")
#: What every command has, besides `CONFIG`.
BASE_OPTIONS = (DEBUG, VERBOSE, LOGFILE, ENCODING)

DAEMON = PathOption(
    dest="daemon", flags=("-D", "--daemon"), help="Run as a daemon that writes its process number to this file"
)

# Communication
SERVER = Option(
    "components",
    "bcfg2",
    flags=("-S", "--server"),
    default="https://localhost:6789",
    help="URL where the server listens and clients call it",
)
USER = Option("communication", "user", flags=("-u", "--user"), default="root", help="User name for the server")
PASSWORD = Option(
    "communication",
    "password",
    flags=("-x", "--password"),
    env="BCFG2_PASSWORD",
    secret=True,
    help="Password that server and clients share; as a flag it shows in lists of processes",
)
PROTOCOL = ChoiceOption(
    "communication",
    "protocol",
    choices=("xmlrpc/ssl", "xmlrpc/tlsv1"),
    default="xmlrpc/tlsv1",
    help="Protocol between server and clients",
)
CA = PathOption("communication", "ca", help="Certificate of the authority")
REQUIRE_CA = BooleanOption("communication", "require_ca", help="Call no server that a ca does not vouch for")
SERVER_CERTIFICATE = PathOption(
    "communication", "certificate", default="/etc/pki/tls/certs/bcfg2.crt", help="Certificate of the server"
)
SERVER_KEY = PathOption(
    "communication",
    "key",
    flags=("--ssl-key",),
    default="/etc/pki/tls/private/bcfg2.key",
    help="Private key of the server",
)
CLIENT_CERTIFICATE = PathOption("communication", "certificate", help="Certificate of the client")
CLIENT_KEY = PathOption("communication", "key", flags=("--ssl-key",), help="Private key of the client")
SERVER_COMMON_NAMES = ColonListOption(
    "communication", "serverCommonNames", flags=("--ssl-cns",), help="Common names of the server that are accepted"
)
TIMEOUT = FloatOption(
    "communication", "timeout", flags=("-t", "--timeout"), default=90.0, help="Seconds to wait for an answer"
)
RETRIES = IntOption("communication", "retries", flags=("-R", "--retries"), default=3, help="How often a call is tried")
RETRY_DELAY = IntOption(
    "communication", "retry_delay", flags=("-y", "--retry-delay"), default=1, help="Seconds between two tries"
)
