"""How much CPU time each part of a measured system has used: the services by their pids, the servers by what they are.

A busy machine changes how long a thing takes, but hardly how much CPU time it needs, so that is what two versions are
compared by.
"""

import os
from collections.abc import Mapping
from pathlib import Path

SERVERS = {"java": "kafka", "postgres": "postgres"}
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(services: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far, with all that their child processes used: of each service, of Kafka and of PostgreSQL."""
    parents, names, used = _processes()
    total = dict.fromkeys((*services, *SERVERS.values()), 0.0)
    for pid in parents:
        line = [pid]
        while line[-1] in parents:
            line.append(parents[line[-1]])
        if os.getpid() not in line:
            continue
        owner = next((name for name, root in services.items() if root in line), SERVERS.get(names[pid]))
        if owner:
            total[owner] += used[pid]
    return total


def _processes() -> tuple[dict[int, int], dict[int, str], dict[int, float]]:
    """Of every process: its parent, its name, its own CPU seconds and those of its children that have ended."""
    parents, names, used = {}, {}, {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has just ended
            pid, (name, _, rest) = int(folder.name), stat.partition("(")[2].rpartition(")")
            fields = rest.split()
            parents[pid], names[pid] = int(fields[1]), name
            used[pid] = sum(map(int, fields[11:15])) / _TICKS_PER_S
    return parents, names, used
