"""Raw records as a person writes them: one JSON object, or a file with one a line."""

import json
from pathlib import Path
from typing import Any, cast

from shared.errors import InputError

Record = dict[str, float | str | None]


def read_records(text: str | None, file: Path | None) -> list[Record]:
    """Read one record from `text`, or many from `file`; raise `InputError` naming what is wrong and where."""
    if (text is None) == (file is None):
        raise InputError("give either one --record or a --file of them")
    if text is not None:
        return [_record(text, "--record")]
    assert file is not None
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from None
    return [_record(line, f"{file}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _record(text: str, where: str) -> Record:
    try:
        document: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"{where} must be a JSON object of column names and values")
    return cast(Record, document)
