"""`python -m recognizer`: settings from ROLLCALL_* variables, until a signal."""

from recognizer.service import service
from recognizer.settings import RecognizerSettings
from shared.runtime import run

if __name__ == "__main__":
    run("recognizer", RecognizerSettings, service)
