"""Seed 004's API for terminals, spelled as printed: docs/terminals.md. Start at routes.py."""
