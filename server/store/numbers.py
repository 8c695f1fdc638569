"""The numbers that runs and versions get next, and whether the file is sound."""

from server.store.rows import Rows
from shared.database import transaction


class NumberRows(Rows):
    """The file as a whole: what a restored one must not give out twice, and what `covey doctor` asks of it."""

    def lift_numbers(self, by: int) -> None:
        """Leave out as many numbers of runs and versions as a lost time may have given out."""
        with transaction(self._db):
            for table in ("runs", "versions"):
                if not self._do("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ?", by, table):
                    self._do("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, by)

    def forget_campaign_keys(self) -> None:
        """Leave no trace of the keys that runs' own noise is drawn from, not even in pages that are free."""
        self._do("DELETE FROM campaign_keys")
        self._db.execute("VACUUM")

    def unsound(self) -> str:
        """What SQLite finds wrong with the file's pages; empty if nothing is."""
        found = self._all("PRAGMA quick_check(1)")
        said = str(found[0][0]) if found else ""
        return "" if said == "ok" else said
