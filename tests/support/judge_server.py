"""A judge behind a chat completions server: it judges by simple rules on the texts that it is shown.

A criterion ``has WORD`` is met by an answer with that word; an answer's quality is the last digit in it, from 1 to 5.
An answer with ``garble`` makes the judge talk without a verdict, with ``mumble`` at the first try only; the faults of
``parent_server`` work as there.
"""

from __future__ import annotations

import json
import math
import re

from parent_server import ParentServer

PART = re.compile(
    r"\[begin (?P<name>[^\]]+) (?P<mark>[0-9a-f]{12})\]\n(?P<text>.*?)\n\[end (?P=name) (?P=mark)\]", re.DOTALL
)


def parts(question: str) -> dict[str, str]:
    """What stands between the marks, by its name."""
    return {found["name"]: found["text"] for found in PART.finditer(question)}


def criteria(question: str) -> list[str]:
    """The criteria as they are listed."""
    return re.findall(r"^\d+\. (.*)$", question.rpartition("Criteria:")[2], flags=re.MULTILINE)


def quality(answer: str) -> int:
    """The last digit from 1 to 5; 1 where there is none."""
    return int((re.findall(r"[1-5]", answer) or ["1"])[-1])


def words(question: str) -> str:
    """What the judge writes."""
    if question.startswith("Write a rubric"):
        prompt = re.findall(r"\[begin prompt\]\n(.*?)\n\[end prompt\]", question, flags=re.DOTALL)[0]
        named = [{"text": f"has {word}", "weight": weight} for weight, word in enumerate(prompt.split(), 1)]
        return json.dumps({"criteria": named})
    shown = parts(question)
    answers = {name: text for name, text in shown.items() if name.startswith("answer")}
    if '"better"' in question:
        first, second = quality(answers["answer A"]), quality(answers["answer B"])
        return json.dumps({"better": "A" if first > second else "B" if first < second else "tie"})
    if '"best-to-worst"' in question:
        names = [name.removeprefix("answer ") for name in answers]
        order = sorted(names, key=lambda name: -quality(answers[f"answer {name}"]))
        return json.dumps({"scores": {n: quality(answers[f"answer {n}"]) for n in names}, "best-to-worst": order})
    if '"score"' in question:
        return json.dumps({"score": quality(answers["answer"])})
    met = ["yes" if one.removeprefix("has ") in answers["answer"] else "no" for one in criteria(question)]
    said = {
        str(number): (quality(answers["answer"]) if one.startswith("graded") else verdict)
        for number, (one, verdict) in enumerate(zip(criteria(question), met, strict=True), 1)
    }
    return json.dumps(said)


class JudgeServer(ParentServer):
    """See the module."""

    logprobs = True

    def _good(self, question: dict, text: str) -> dict:
        garbled = "garble" in text or ("mumble" in text and not question.get("seed"))
        content = "I would rather not say." if garbled else f"The answer is short. {words(text)}"
        choice: dict = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
        if question.get("logprobs"):
            content = "Yes"
            choice["message"]["content"], choice["finish_reason"] = content, "length"
            share = (quality(parts(text)["answer"]) - 0.5) / 5
            top = {"Yes": math.log(share), " no": math.log((1 - share) / 2), "No": math.log((1 - share) / 2)}
            candidates = {"I": -0.1} if garbled else top
            listed = [{"token": token, "logprob": value} for token, value in candidates.items()]
            if self.logprobs:
                choice["logprobs"] = {"content": [{"token": "Yes", "logprob": -0.1, "top_logprobs": listed}]}
        return {
            "model": question["model"],
            "choices": [choice],
            "usage": {"prompt_tokens": len(text.split()), "completion_tokens": len(content.split())},
        }
