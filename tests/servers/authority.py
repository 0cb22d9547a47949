"""A certificate authority of one's own, with a server's and a client's certificate as files."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """Writes `ca.pem`, `server.pem`, `server.key` (for 127.0.0.1 and what else is named) and `client.pem`, `client.key` into a folder."""

    def __init__(self, folder: Path, *hosts: str, server_lasts: timedelta = _DAY) -> None:
        self.ca, self.client_pem, self.client_key = (folder / name for name in ("ca.pem", "client.pem", "client.key"))
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("asyncref test authority")
        own = self._signed(self._name, self._key, x509.BasicConstraints(ca=True, path_length=0))
        self.ca.write_bytes(own.public_bytes(serialization.Encoding.PEM))
        named = [x509.DNSName(host) for host in hosts]
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *named])
        self._write(folder, "server", address, lasts=server_lasts)
        self._write(folder, "client", x509.BasicConstraints(ca=False, path_length=None))

    def _write(self, folder: Path, name: str, extension: x509.ExtensionType, *, lasts: timedelta = _DAY) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        certificate = self._signed(_name(name), key, extension, lasts=lasts)
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        *,
        lasts: timedelta = _DAY,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + lasts)
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
