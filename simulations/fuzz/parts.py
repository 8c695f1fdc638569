"""The parts of a Flower message as one input: six in a row, children first, that name each other by place.

A part is kept under the SHA-256 of its bytes, so a part that is changed must be renamed wherever it is named; `<0>` to
`<5>` stand for the names.
"""

import hashlib

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

COUNT = 6


def parts_of(message: Message) -> list[bytes]:
    """The parts of a message that has as many; each names its children by place."""
    objects = get_all_nested_objects(message)
    contents = {name: part.deflate() for name, part in objects.items()}
    if len(contents) > COUNT:
        raise ValueError(f"a message of {len(contents)} parts")
    for place, name in enumerate(contents):
        contents = {own: content.replace(name.encode(), b"<%d>" % place) for own, content in contents.items()}
    found = list(contents.values())
    return [b"ConfigRecord  0\0"] * (COUNT - len(found)) + _moved(found, COUNT - len(found))


def _moved(contents: list[bytes], by: int) -> list[bytes]:
    """The same parts, `by` places further."""
    for place in reversed(range(len(contents))):
        contents = [content.replace(b"<%d>" % place, b"<%d>" % (place + by)) for content in contents]
    return contents


def assemble(parts: list[bytes]) -> tuple[str, dict[str, bytes]]:
    """The name of the last part, and all parts under their names."""
    names: list[bytes] = []
    contents: dict[str, bytes] = {}
    for part in parts:
        whole = part
        for place, name in enumerate(names):
            whole = whole.replace(b"<%d>" % place, name)
        digest = hashlib.sha256(whole).hexdigest()
        names.append(digest.encode())
        contents[digest] = whole
    return names[-1].decode(), contents
