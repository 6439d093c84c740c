"""What administrators see and do: bans, limits, the audit log."""
