"""An invitation: one line that the operator hands to a device's owner, with all that a device must trust first.

`covey://HOST:PORT/FEDERATION?ca=…&root=…&expires=…&token=…`: it pins the certificate authority and the
first TUF root, so joining trusts the line alone and never the network.
"""

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from shared.errors import InputError

SCHEME = "covey"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{22,128}")
_MAX_PORT = 65_535
_FIELDS = ("ca", "root", "expires", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """Where to join, whom to trust there, until when, and the single-use token that lets one device in.

    `ca_sha256` is over the CA certificate's DER, `root_sha256` over the bytes of `1.root.json`, both in
    hexadecimal; `expires_at` is in Unix seconds.
    """

    federation: str
    host: str
    port: int
    ca_sha256: str
    root_sha256: str
    expires_at: int
    token: str

    def __post_init__(self) -> None:
        """Refuse what no device could follow."""
        if not self.federation or not self.host:
            raise ValueError("federation and host must not be empty")
        if not 1 <= self.port <= _MAX_PORT:
            raise ValueError(f"port must lie between 1 and {_MAX_PORT}, got {self.port}")
        for name in ("ca_sha256", "root_sha256"):
            if not _SHA256.fullmatch(getattr(self, name)):
                raise ValueError(f"{name} must be 64 lower-case hexadecimal digits")
        if not _TOKEN.fullmatch(self.token):
            raise ValueError("token must be 22 to 128 letters, digits, hyphens and underscores")

    def __str__(self) -> str:
        """The line itself."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        values = (self.ca_sha256, self.root_sha256, self.expires_at, self.token)
        query = urlencode(dict(zip(_FIELDS, values, strict=True)))
        return f"{SCHEME}://{host}:{self.port}/{quote(self.federation, safe='')}?{query}"


def parse_invitation(text: str) -> Invitation:
    """Read an invitation line; raise `InputError` naming what is wrong with it."""
    try:
        url = urlsplit(text.strip())
        return _invitation(url, _query(url))
    except ValueError as error:
        raise InputError(f"this invitation cannot be used: {error}; copy the whole line again") from None


def _invitation(url: SplitResult, query: dict[str, str]) -> Invitation:
    if url.scheme != SCHEME:
        raise ValueError(f"it must start with {SCHEME}://")
    if url.hostname is None or url.port is None:
        raise ValueError("it names no host and port")
    return Invitation(
        federation=unquote(url.path.removeprefix("/")), host=url.hostname, port=url.port,
        ca_sha256=query["ca"], root_sha256=query["root"],
        expires_at=_seconds(query["expires"]), token=query["token"],
    )  # fmt: skip


def _query(url: SplitResult) -> dict[str, str]:
    """The four fields, each exactly once."""
    found = parse_qs(url.query, keep_blank_values=True)
    if unknown := sorted(found.keys() - set(_FIELDS)):
        raise ValueError(f"it has unknown fields {unknown}")
    if missing := [name for name in _FIELDS if len(found.get(name, ())) != 1]:
        raise ValueError(f"it must have one each of {missing}")
    return {name: values[0] for name, values in found.items()}


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"expires must be Unix seconds, got {text!r}")
    return int(text)
