"""The names of certificates' subjects: what is asked for, and what of it an authority's policy lets pass."""

from collections.abc import Mapping

from cryptography import x509
from cryptography.x509.oid import NameOID

from bcfg2.server.pki.opensslconf import OpenSSLConfig
from bcfg2.server.plugin.exceptions import PluginExecutionError

#: What OpenSSL calls the parts of names: the long form of policies, and the short one of one-line names.
_PARTS = {
    "countryName": (NameOID.COUNTRY_NAME, "C"),
    "stateOrProvinceName": (NameOID.STATE_OR_PROVINCE_NAME, "ST"),
    "localityName": (NameOID.LOCALITY_NAME, "L"),
    "organizationName": (NameOID.ORGANIZATION_NAME, "O"),
    "organizationalUnitName": (NameOID.ORGANIZATIONAL_UNIT_NAME, "OU"),
    "commonName": (NameOID.COMMON_NAME, "CN"),
    "emailAddress": (NameOID.EMAIL_ADDRESS, "emailAddress"),
    "serialNumber": (NameOID.SERIAL_NUMBER, "serialNumber"),
    "title": (NameOID.TITLE, "title"),
    "givenName": (NameOID.GIVEN_NAME, "GN"),
    "surname": (NameOID.SURNAME, "SN"),
    "userId": (NameOID.USER_ID, "UID"),
    "domainComponent": (NameOID.DOMAIN_COMPONENT, "DC"),
}
_LONG = {short: long for long, (_, short) in _PARTS.items()}
_BY_OID = dict(_PARTS.values())

#: The parts that may be asked for, in the order of a name.
REQUESTED = ("C", "ST", "L", "O", "OU", "CN", "emailAddress")


def apply_policy(config: OpenSSLConfig, section: str, wanted: Mapping[str, str], issuer: x509.Name) -> x509.Name:
    """The name that the policy in SECTION makes of WANTED, short name of a part -> value, for a certificate of ISSUER.

    The parts come in the policy's order, and those of which it does not speak are left out.  PluginExecutionError if it
    does not let the name pass.
    """
    parts: list[x509.NameAttribute[str]] = []
    for name, rule in config.section(section).items():
        long = _LONG.get(name.partition(".")[2] or name, name.partition(".")[2] or name)
        if long not in _PARTS:
            raise PluginExecutionError(f"{config.path}: section [{section}]: {name} is not known as part of a name")
        oid, short = _PARTS[long]
        value = wanted.get(short)
        if value is None:
            if rule != "optional":
                raise PluginExecutionError(
                    f"{config.path}: policy [{section}] asks for {long} ({short}), none is given"
                )
            continue
        if rule == "match" and value not in [item.value for item in issuer.get_attributes_for_oid(oid)]:
            raise PluginExecutionError(
                f"{config.path}: policy [{section}] asks for the authority's {long} ({short}), not {value!r}"
            )
        parts.append(name_attribute(oid, value))
    return x509.Name(parts)


def as_requested(wanted: Mapping[str, str]) -> x509.Name:
    """The name of all parts that are WANTED, in their usual order."""
    by_short = {short: oid for oid, short in _BY_OID.items()}
    return x509.Name([name_attribute(by_short[short], wanted[short]) for short in REQUESTED if short in wanted])


def name_attribute(oid: x509.ObjectIdentifier, value: str) -> x509.NameAttribute[str]:
    """A part of a name; PluginExecutionError if the value cannot be one, such as a country of three letters."""
    try:
        return x509.NameAttribute(oid, value)
    except ValueError as err:
        raise PluginExecutionError(
            f"{_BY_OID.get(oid, oid.dotted_string)}={value!r} cannot be part of a name: {err}"
        ) from None


def one_line(name: x509.Name) -> str:
    """NAME as the database of an authority has it: ``/C=DE/CN=www.example.com``."""
    return "".join(f"/{_BY_OID.get(part.oid, part.oid.dotted_string)}={_printable(part.value)}" for part in name)


def _printable(value: str | bytes) -> str:
    data = value.encode() if isinstance(value, str) else value
    return "".join(chr(byte) if 0x20 <= byte <= 0x7E else f"\\x{byte:02X}" for byte in data)
