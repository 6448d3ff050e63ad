"""Baidu's Face V3 API, spoken by Rollcall: docs/baidu.md. Start at routes.py."""
