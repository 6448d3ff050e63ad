"""The database: how it is opened, and what is asked of it. One transaction per command."""
