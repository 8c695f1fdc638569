"""A last look at who answered: a certificate that may sign others is no server's.

OpenSSL lets one serve, in its strict mode too, as long as it also says that it is a server's. Then whoever holds a
server's key could certify others, which RFC 5280 (4.2.1.9) keeps for authorities.
"""

import ssl

from cryptography import x509


def leaves_only(context: ssl.SSLContext) -> ssl.SSLContext:
    """The same context, which from now on ends a handshake with `ssl.SSLCertVerificationError` if it meets an authority."""
    context.sslsocket_class = _LeavesOnly
    return context


class _LeavesOnly(ssl.SSLSocket):
    """Looks at the other side's certificate after OpenSSL did, and before anything is sent."""

    def do_handshake(self, block: bool = False) -> None:
        """Shake hands, and look."""
        super().do_handshake(block)
        if _is_authority(self.getpeercert(binary_form=True) or b""):
            raise ssl.SSLCertVerificationError(1, "certificate verify failed: it may sign others, so it is no server's")


def _is_authority(der: bytes) -> bool:
    """Whether a certificate says that it may sign others; one that cannot be read counts as such."""
    try:
        extensions = x509.load_der_x509_certificate(der).extensions
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
    except ValueError:
        return True
