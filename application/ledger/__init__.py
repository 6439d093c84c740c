"""The ledger's use cases: load at most once, decide purely, commit once, publish."""
