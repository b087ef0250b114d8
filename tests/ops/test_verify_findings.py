"""What is to be done about what verify finds, in one sentence for each kind; and what is pushed."""

import pytest

from ops.answers.verification import Compared, Verdict
from ops.verify_findings import NextSteps, to_push


def found(verdict: Verdict, recording_id: str | None = "rec 1", *, link: int = 1) -> Compared:
    return Compared(
        recording_id=recording_id,
        filename="a.wav",
        verdict=verdict,
        link_version=link,
        shown_link_version=None,
        shown_ticket_id=None,
    )


def next_steps(findings: list[tuple[str, Compared]], *, repair: bool) -> list[str]:
    steps = NextSteps()
    for folder_id, one in findings:
        steps.add(folder_id, one)
    return steps.told(repair=repair)


@pytest.mark.parametrize(
    ("finding", "said"),
    [
        (found("missing_in_cloud"), ["brings back no file", "ticketsync transfer retry --folder 'F 1'"]),
        (found("missing_in_cloud", link=0), ["brings back no file", "docs/held-uploads.md"]),
        (found("extra_in_cloud", None, link=0), ["Delete it in the cloud", "ticketsync adopt"]),
        (found("ticket_mismatch", link=0), ["nobody has linked", "ticketsync link --ticket TICKET 'rec 1' (and"]),
        (found("ticket_mismatch", "-r", link=0), ["nobody has linked", "ticketsync link --ticket TICKET -- -r (and"]),
    ],
    ids=lambda one: f"{one.verdict}, link {one.link_version}" if isinstance(one, Compared) else "",
)
def test_what_no_push_mends_has_one_sentence_that_names_it_and_the_next_step(
    finding: Compared, said: list[str]
) -> None:
    [step] = next_steps([("F 1", finding), ("F 1", finding)], repair=True)

    assert step.startswith(finding.verdict)
    assert all(one in step for one in said), step


def test_what_a_push_mends_is_told_as_long_as_nobody_has_asked_for_it() -> None:
    findings = [("F", found("stale")), ("F", found("ticket_mismatch"))]

    [step] = next_steps(findings, repair=False)

    assert "--repair" in step
    assert next_steps(findings, repair=True) == []


def test_a_folder_is_named_only_if_all_that_is_missing_is_in_it() -> None:
    [step] = next_steps([("F", found("missing_in_cloud")), ("G", found("missing_in_cloud"))], repair=True)

    assert "--folder FOLDER," in step


def test_pushed_is_what_has_a_link_and_the_rest_is_not_counted_as_pushed() -> None:
    findings = [
        found("stale", "r-2"),
        found("missing_in_cloud", "r-1"),
        found("missing_in_cloud", "r-3", link=0),
        found("extra_in_cloud", None, link=0),
    ]

    assert to_push(findings) == ["r-2", "r-1"]
