"""The device's side: trains under a privacy ledger, predicts locally, reports drift."""
