"""Who may do what at a ground station: accounts, passwords, sessions, API keys, and the log of access."""
