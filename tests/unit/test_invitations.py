"""An invitation survives being written and read, and a damaged one says what is wrong."""

import dataclasses

import pytest

from shared.errors import InputError
from shared.invitations import Invitation, parse_invitation

INVITATION = Invitation(
    federation="flights", host="127.0.0.1", port=8443, ca_sha256="a" * 64, root_sha256="b" * 64,
    expires_at=1_800_000_000, token="t" * 43,
)  # fmt: skip


@pytest.mark.parametrize(
    "invitation",
    [
        INVITATION,
        dataclasses.replace(INVITATION, host="::1"),
        dataclasses.replace(INVITATION, host="coordinator.example"),
        dataclasses.replace(INVITATION, federation="a name / with ? & odd # letters é"),
    ],
    ids=["plain", "ipv6", "name", "odd letters"],
)
def test_an_invitation_is_one_line_that_reads_back(invitation: Invitation) -> None:
    line = str(invitation)
    assert "\n" not in line
    assert " " not in line
    assert parse_invitation(f"  {line}\n") == invitation


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("covey://", "https://", "must start with covey://"),
        (":8443", "", "no host and port"),
        (":8443", ":0", "port must lie between"),
        (":8443", ":99999", "ort"),
        ("ca=" + "a" * 64, "ca=" + "A" * 64, "ca_sha256"),
        ("root=" + "b" * 64, "root=bb", "root_sha256"),
        ("expires=1800000000", "expires=soon", "Unix seconds"),
        ("expires=1800000000", "expires=٣", "Unix seconds"),
        ("token=" + "t" * 43, "token=short", "token"),
        ("&token=" + "t" * 43, "", "token"),
        ("ca=", "ca=x&ca=", "one each"),
        ("ca=", "extra=1&ca=", "unknown fields"),
        ("/flights", "/", "federation"),
    ],
)
def test_a_damaged_invitation_is_refused_with_its_reason(before: str, after: str, says: str) -> None:
    line = str(INVITATION)
    assert before in line
    with pytest.raises(InputError, match=says):
        parse_invitation(line.replace(before, after, 1))


@pytest.mark.parametrize("line", ["", "covey", "covey://[", "covey://h:1/f?" + "ca=1&" * 10_000])
def test_what_is_no_invitation_is_an_input_error(line: str) -> None:
    with pytest.raises(InputError):
        parse_invitation(line)
