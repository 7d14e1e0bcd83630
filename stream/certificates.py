"""The certificates that Weir's HTTP clients trust, and errors about a certificate that cannot be verified."""

import os
import ssl

import httpx

from stream.errors import CertificatesUnreadable

#: The end of a sentence about a certificate that cannot be verified.
CERTIFICATE_FIX = "correct the certificate, or name a PEM file with its CA in SSL_CERT_FILE"


def trusted_certificates() -> ssl.SSLContext:
    """Return the context of a client that trusts the CAs in SSL_CERT_FILE, else the public CAs; raises CertificatesUnreadable."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise CertificatesUnreadable(
            f"SSL_CERT_FILE is {os.environ.get('SSL_CERT_FILE', '')!r}, which is no readable PEM file with certificates"
            f" ({error.strerror or error}); correct the path, or unset SSL_CERT_FILE to trust the public CAs"
        ) from error


def is_certificate_error(error: BaseException) -> bool:
    """Return whether an error of httpx states that the certificate of a server cannot be verified; httpx has no class for it."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error)
