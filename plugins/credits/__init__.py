"""Credits over HTTP: accounts, grants, transfers, and what their owners are told."""
