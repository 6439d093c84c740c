"""The commit of a batch of commands: what happens between its arrival and its outcomes, as a pure machine."""
