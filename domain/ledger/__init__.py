"""The ledger's rules: state + commands + time -> outcomes + entries. Nothing here does I/O."""
