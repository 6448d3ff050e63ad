"""`python -m shared.probe http://127.0.0.1:8000/readyz`: exits 0 when the address answers 200, else 1 with a reason.

What a container's health check runs: the images hold no curl.
"""

import sys
import urllib.error
import urllib.request

ANSWER_S = 5.0
"""seconds; the health checks themselves take 3 at most"""


def probe(url: str) -> str:
    """Why the address is not well; empty if it is."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=ANSWER_S):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"{error.code}: {error.read(2_000).decode(errors='replace')}"
    except (OSError, ValueError) as error:
        return str(error)


if __name__ == "__main__":
    if reason := probe(sys.argv[1]):
        sys.stderr.write(f"{reason}\n")
        raise SystemExit(1)
