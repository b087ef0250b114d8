"""`ticketsync topics apply` and `topics check`: Kafka's topics as schemas/topics.py declares them."""

import asyncio

import typer

from ops import show
from ops.addresses import resolve
from ops.exits import Finding
from ops.kafka_access import kafka_answers
from ops.options import DataDir, Json
from shared import topics

commands = typer.Typer(no_args_is_help=True, help="Create Kafka's topics, or see whether they are as declared.")


@commands.command(epilog="Example: ticketsync topics apply --data-dir data")
def apply(*, json: Json = False, data_dir: DataDir = None) -> None:
    """Create the topics that are missing and correct the settings of the others; doing it twice is harmless."""
    kafka = resolve(data_dir).kafka()
    with kafka_answers(kafka):
        done = asyncio.run(topics.apply(kafka))
        left = asyncio.run(topics.check(kafka))
    if json:
        show.as_json({"done": done, "findings": left})
    else:
        _print(done, nothing="All topics are as declared.")
    if left:
        raise Finding(f"not changed by itself: {'; '.join(left)}")


@commands.command(epilog="Example: ticketsync topics check --json")
def check(*, json: Json = False, data_dir: DataDir = None) -> None:
    """Show where topics differ from what is declared, and change nothing; exit 1 if they do."""
    kafka = resolve(data_dir).kafka()
    with kafka_answers(kafka):
        findings = asyncio.run(topics.check(kafka))
    if json:
        show.as_json({"findings": findings})
    else:
        _print(findings, nothing="All topics are as declared.")
    if findings:
        raise Finding(f"{len(findings)} differences", todo="Correct them: ticketsync topics apply")


def _print(lines: list[str], *, nothing: str) -> None:
    for line in lines or [nothing]:
        show.out().print(show.plain(line), soft_wrap=True)
