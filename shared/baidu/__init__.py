"""Baidu's face API from the caller's side: the recognizer's engine and the command line speak through it."""
