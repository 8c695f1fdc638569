"""The device's side: trains under a privacy ledger, predicts locally, reports drift."""

import os

# Polars then asks for memory in large pages: a long column costs more in page faults than in reading.
os.environ.setdefault("POLARS_THP", "1")
