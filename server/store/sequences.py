"""What each device last had countersigned."""

from server.store.rows import Rows
from shared import wire
from shared.sequence import Receipt, SequenceAnswer


class SequenceRows(Rows):
    """One row a device, whose number only grows."""

    def sequence(self, device: str) -> SequenceAnswer:
        """The latest that was countersigned for a device, if anything was."""
        row = self._one("SELECT receipt, blob FROM sequences WHERE device = ?", device)
        if row is None:
            return SequenceAnswer()
        return SequenceAnswer(receipt=wire.from_json(Receipt, row["receipt"].encode()), blob=row["blob"])

    def keep_sequence(self, device: str, receipt: Receipt, blob: str, *, at: float) -> bool:
        """Keep a receipt unless one of the same number or a larger one is there; say whether it was kept."""
        kept = self._do(
            "INSERT INTO sequences VALUES (?, ?, ?, ?, ?) ON CONFLICT (device) DO UPDATE SET number = excluded.number, "
            "blob = excluded.blob, receipt = excluded.receipt, at = excluded.at WHERE excluded.number > sequences.number",
            device, receipt.number, blob, wire.to_json(receipt).decode(), at,
        )  # fmt: skip
        return kept == 1
