"""What was found out about one thing, and the table and the advice made of many."""

from collections.abc import Iterable
from dataclasses import dataclass

OK, WARN, BAD = "OK", "WARN", "BAD"


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        status: OK, WARN (it works, but not as well or as surely as it could) or BAD.
        subject: what was looked at, in a word or two.
        text: what was found.
        remedies: what the user can do about it, a sentence each; empty where all is well.
    """

    status: str
    subject: str
    text: str
    remedies: tuple[str, ...] = ()


def ok(subject: str, text: str) -> Finding:
    return Finding(OK, subject, text)


def warn(subject: str, text: str, *remedies: str) -> Finding:
    return Finding(WARN, subject, text, remedies)


def bad(subject: str, text: str, *remedies: str) -> Finding:
    return Finding(BAD, subject, text, remedies)


def is_bad(findings: Iterable[Finding]) -> bool:
    return any(finding.status == BAD for finding in findings)


def line(finding: Finding) -> str:
    return f"{finding.status:<5} {finding.subject:<12} {finding.text}"


def advice(findings: Iterable[Finding]) -> str:
    """`What to do:` and the numbered remedies, BAD ones first, each once; empty without any."""
    ranked = sorted(findings, key=lambda finding: finding.status != BAD)
    remedies = dict.fromkeys(remedy for finding in ranked for remedy in finding.remedies)
    if not remedies:
        return ""
    numbered = (f"  {number}. {remedy}" for number, remedy in enumerate(remedies, 1))
    return "\n".join(["What to do:", *numbered])
