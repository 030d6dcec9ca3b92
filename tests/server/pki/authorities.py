"""Authorities for tests, made with cryptography alone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

CONFIG = """
[ca]
default_ca = this_ca
[this_ca]
dir = {folder}   # where all is
database = $dir/index.txt
new_certs_dir = ${{dir}}/newcerts
certificate = "{folder}/ca.crt"
serial = $dir/serial
private_key = $this_ca::dir/ca.key
default_md = sha256
policy = any
{settings}
[any]
countryName = optional
organizationName = optional
commonName = supplied
emailAddress = optional
[strict]
countryName = match
commonName = supplied
[exts]
basicConstraints = critical,CA:FALSE
keyUsage = critical, digitalSignature, keyEncipherment
extendedKeyUsage = serverAuth,1.2.3.4
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid:always,issuer
nsComment = "made by OpenSSL"
crlDistributionPoints = URI:http://ca.example.com/crl
authorityInfoAccess = OCSP;URI:http://ca.example.com/ocsp
[wrong]
keyUsage = makeCoffee
"""


class TestAuthority:
    """An authority in FOLDER; SETTINGS stand in its configuration, PASSPHRASE protects its key."""

    __test__ = False

    def __init__(self, folder: Path, passphrase: str = "", **settings: str) -> None:
        self.folder = folder
        (folder / "newcerts").mkdir(parents=True)
        self.config = folder / "openssl.cnf"
        lines = "\n".join(f"{name} = {value}" for name, value in settings.items())
        self.config.write_text(CONFIG.format(folder=folder, settings=lines))
        (folder / "index.txt").touch()
        (folder / "serial").write_text("0FFF\n")
        self.renew(passphrase)

    def renew(self, passphrase: str = "", begins: int = -1, ends: int = 3650) -> None:
        """Give the authority a new key and a new certificate, valid from BEGINS to ENDS, days from now."""
        self.key = ec.generate_private_key(ec.SECP256R1())
        protection: KeySerializationEncryption = NoEncryption()
        if passphrase:
            protection = BestAvailableEncryption(passphrase.encode())
        name = x509.Name.from_rfc4514_string("CN=Test CA,O=Example,C=DE")
        now = datetime.now(UTC)
        self.certificate = (
            x509.CertificateBuilder()
            .issuer_name(name)
            .subject_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=ends))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        (self.folder / "ca.key").write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection))
        (self.folder / "ca.crt").write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def text(self, name: str) -> str:
        """The content of a file of the authority."""
        return (self.folder / name).read_text()
