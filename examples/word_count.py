"""A plain worker: the task comes as JSON on stdin, the result goes out as JSON on stdout, lines on stderr are progress.

Run by `data-mcp-server-agent worker AGENT -- python examples/word_count.py`, or as an instance: see launchers.toml.
"""

import json
import sys
from collections import Counter


def main() -> None:
    """Count the words of the task's input `{"text": ...}`."""
    task = json.load(sys.stdin)
    words = task["input"]["text"].split()
    print(f"{len(words)} words to count", file=sys.stderr)
    json.dump({"words": len(words), "most_common": Counter(words).most_common(3)}, sys.stdout)


if __name__ == "__main__":
    main()
