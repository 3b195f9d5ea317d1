"""COPA-SSE's human ratings of explanations as rows for `pgsrm evaluate`.

    python scripts/copa_ratings.py dev-explained.jsonl ratings.jsonl

The file is https://github.com/a-brassard/copa-sse at commit 62f50bf2 (MIT; not in this repository). The best rated
explanation of each question is the reference, which the others are held against; of equal ones the first.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SHA256 = "d9deccc140b1a9d7dcbcfb682a423cda0d7678904242f51e35993d820dc56026"


def main(source: str, out: str) -> None:
    """Writes the rows.

    Raises:
        SystemExit: the file is another one.
    """
    content = Path(source).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise SystemExit(f"{source} has sha256 {found}, and COPA-SSE's dev-explained.jsonl at 62f50bf2 {SHA256}")
    rows = [row for line in content.decode().splitlines() for row in ratings(json.loads(line))]
    Path(out).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} ratings of {len({row['prompt'] for row in rows})} questions, written to {out}")


def ratings(question: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The rated explanations of a question, but for the best one, which they are held against."""
    rated = [one for one in question["human-explanations"] if one["text"].strip()]
    if len(rated) < 2:
        return
    best = max(rated, key=lambda one: one["filtered-avg-rating"])
    answer = question[f"a{question['most-plausible-alternative']}"]
    link = "Why? It was because:" if question["asks-for"] == "cause" else "What happened as a result?"
    for one in rated:
        if one is not best:
            yield {
                "prompt": f"{question['p']} {link} {answer} Explain.",
                "reference": best["text"],
                "response": one["text"],
                "rating": one["filtered-avg-rating"],
            }


if __name__ == "__main__":
    main(*sys.argv[1:])
