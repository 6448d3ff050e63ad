"""Known holes in the packages of constraints.txt, by the public list that pip-audit asks: `make audit`.

Exits 1 for a hole, and for a package that the list does not know. Where the list cannot be asked (no internet, or only
a mirror of the packages) it says "skipped" and why, and exits 0.
"""

import json
import subprocess
import sys
import venv
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / ".cache/audit"
"""an environment of its own: what pip-audit needs is none of ours"""
PATIENCE_S = 600
ASK = ("-r", "constraints.txt", "--no-deps", "--disable-pip", "--format", "json", "--progress-spinner", "off")


class Skipped(Exception):
    """Nobody could be asked; the message says why."""


def holes(said: str) -> list[str]:
    """A line for each known hole, from pip-audit's JSON. Raises Skipped when it knows none of the packages, or printed
    nothing that can be read: then it has asked nobody, whatever it calls that."""
    try:
        packages = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        raise Skipped("the list of known holes cannot be read") from None
    if all("skip_reason" in package for package in packages):
        raise Skipped("the list of known holes has none of the packages: this is a mirror without it")
    return [line for package in packages for line in _lines(package)]


def _lines(package: dict[str, object]) -> Iterator[str]:
    if reason := package.get("skip_reason"):
        yield f"{package['name']}: not asked about: {reason}"
    for hole in package.get("vulns") or ():  # type: ignore[attr-defined]
        mended = ", ".join(hole["fix_versions"]) or "no version yet"
        yield f"{package['name']} {package['version']}: {hole['id']}, mended in {mended}"


def ask() -> str:
    """What pip-audit prints. Raises Skipped when it cannot be had, or ends without an answer."""
    program = TOOL / "bin/pip-audit"
    if not program.exists():
        venv.create(TOOL, with_pip=True)
        pip = _run(TOOL / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "pip-audit")
        if pip.returncode:
            raise Skipped(f"pip-audit cannot be installed: {_last_line(pip.stderr)}")
    asked = _run(program, *ASK)
    if not asked.stdout:
        raise Skipped(f"pip-audit says: {_last_line(asked.stderr)}")
    return asked.stdout


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        raise Skipped(f"no answer in {PATIENCE_S} s") from None


def _last_line(said: str) -> str:
    return (said.strip() or "nothing").splitlines()[-1]


def main() -> None:
    """Command line."""
    try:
        found = holes(ask())
    except Skipped as reason:
        print(f"audit skipped: {reason}")
        return
    print("\n".join(found) or "audit: no known hole in the packages of constraints.txt")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
