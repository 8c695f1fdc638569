"""How a command ends when something goes wrong: one line for a person, the trace only for whoever asks for it."""

import errno
import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import contextmanager

from shared.errors import CoveyError

TRACE = "COVEY_TRACE"
"""Set in the environment, it lets an unforeseen error show where it came from."""

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def one_line(program: str) -> Generator[None]:
    """Turn whatever is raised inside into one line on stderr and exit status 1."""
    try:
        yield
    except CoveyError as error:
        reason = str(error)
    except BrokenPipeError:
        # Whoever read our output has heard enough; Python would complain again when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except sqlite3.DatabaseError as error:
        reason = _of_database(error)
    except OSError as error:
        room = "; make room on its disk, then ask again" if error.errno in _FULL else ""
        reason = f"{error.filename or 'a file'}: {error.strerror or error}{room}"
    except Exception as error:
        if os.environ.get(TRACE):
            raise
        reason = f"{type(error).__name__} ({error}), which nobody foresaw; {TRACE}=1 in the environment shows where"
    else:
        return
    sys.stderr.write(f"{program}: {reason}\n")
    raise SystemExit(1)


def _of_database(error: sqlite3.DatabaseError) -> str:
    """SQLite names no file; a full disk is told from a damaged one by its code."""
    named = f"{error.__notes__[0]}: " if getattr(error, "__notes__", None) else ""
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return f"{named}a database could not be written, for its disk is full; make room there, then ask again"
    return f"{named}one of its databases cannot be read ({error}); put a copy of it back, or look into its log"
