"""The options that commands share: their defaults, flags and settings, as administrators know them."""

import pytest

from bcfg2.options import common


def all_common(certificate, key):
    return [
        *common.BASE_OPTIONS,
        *(common.WEB_CONFIG, common.REPOSITORY, common.SYSLOG, common.DAEMON, common.SERVER, common.USER),
        *(common.PASSWORD, common.PROTOCOL, common.CA, certificate, key, common.SERVER_COMMON_NAMES),
        *(common.TIMEOUT, common.RETRIES, common.RETRY_DELAY),
    ]


SERVER = all_common(common.SERVER_CERTIFICATE, common.SERVER_KEY)
CLIENT = all_common(common.CLIENT_CERTIFICATE, common.CLIENT_KEY)


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("components_encoding", "UTF-8"),
        ("logging_debug", False),
        ("logging_verbose", False),
        ("logging_path", None),
        ("logging_syslog", True),
        ("reporting_config", "/etc/bcfg2-web.conf"),
        ("server_repository", "/var/lib/bcfg2"),
        ("daemon", None),
        ("components_bcfg2", "https://localhost:6789"),
        ("communication_user", "root"),
        ("communication_password", None),
        ("communication_protocol", "xmlrpc/tlsv1"),
        ("communication_ca", None),
        ("communication_certificate", "/etc/pki/tls/certs/bcfg2.crt"),
        ("communication_key", "/etc/pki/tls/private/bcfg2.key"),
        ("communication_servercommonnames", ()),
        ("communication_timeout", 90.0),
        ("communication_retries", 3),
        ("communication_retry_delay", 1),
    ],
)
def test_defaults(read, name, default):
    assert getattr(read(SERVER), name) == default


def test_a_client_has_no_certificate_by_default(read):
    options = read(CLIENT)
    assert (options.communication_certificate, options.communication_key) == (None, None)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["-E", "latin-1"], "components_encoding", "latin-1"),
        (["--debug"], "logging_debug", True),
        (["-v"], "logging_verbose", True),
        (["-o", "/log"], "logging_path", "/log"),
        (["-W", "/web"], "reporting_config", "/web"),
        (["-Q", "/repo"], "server_repository", "/repo"),
        (["-D", "/pid"], "daemon", "/pid"),
        (["-S", "https://a:1"], "components_bcfg2", "https://a:1"),
        (["-u", "me"], "communication_user", "me"),
        (["-x", "secret"], "communication_password", "secret"),
        (["-xsecret"], "communication_password", "secret"),
        (["--ssl-key", "/key"], "communication_key", "/key"),
        (["--ssl-cns", "a:b"], "communication_servercommonnames", ("a", "b")),
        (["-t", "1.5"], "communication_timeout", 1.5),
        (["-R", "5"], "communication_retries", 5),
        (["-y", "2"], "communication_retry_delay", 2),
    ],
)
def test_flags(read, words, name, value):
    assert getattr(read(CLIENT, words=words), name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("[communication]\nprotocol = xmlrpc/ssl", "communication_protocol", "xmlrpc/ssl"),
        ("[communication]\nserverCommonNames = a:b", "communication_servercommonnames", ("a", "b")),
        ("[logging]\nsyslog = off", "logging_syslog", False),
        ("[logging]\npath = <repository>/log", "logging_path", "/var/lib/bcfg2/log"),
    ],
)
def test_settings(read, text, name, value):
    assert getattr(read(SERVER, text), name) == value


def test_an_unknown_protocol_is_refused(error):
    assert error(SERVER, "[communication]\nprotocol = ftp").endswith("not one of xmlrpc/ssl, xmlrpc/tlsv1")
