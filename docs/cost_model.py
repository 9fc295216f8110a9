#!/usr/bin/env python3
"""What an installation costs: requests against the limits of the tools, the database, what is exported, and the backends' disk.

    python3 docs/cost_model.py --jira 100 --github 100 --linear 100 --projects 10000 --tasks 5000000 --open 250000 --changes-a-day 250000

Every constant below names where it is from. `cargo bench --bench postgres` holds the model to stores of several sizes, and a test
holds the table of docs/SCALE.md to this program. Sources are taken to be alike, each with a token of its own.
"""

import argparse
import json
import math
import signal

# Measured by `cargo bench --bench postgres`, with worlds of 5 and of 23 changes a task.
SPANS_A_TASK, SPANS_A_CHANGE = 2.8, 0.63
LOGS_A_TASK, LOGS_A_CHANGE = 1.5, 1.09
DATABASE_A_TASK, DATABASE_A_CHANGE = 1280, 36  # bytes, with the index of the primary key, before vacuum has much to do
SAMPLES_A_PROJECT = 65  # series of a project with one sprint and five statuses
STATEMENTS_A_POLL = 4
STATEMENTS_A_SECOND = 2.1  # of each replica: its leases, and what others ask for
# A tick of the metrics, counted in the log of a server: of each replica; in it of a source, of a project, and of 128 open tasks (they,
# their parents, their sums and the index); of a project, by the replica that exports it.
STATEMENTS_A_TICK, TICK_OF_A_SOURCE, TICK_OF_A_PROJECT, TICK_OF_OPEN, TICK_OF_AN_EXPORT = 30, 5, 1, 4 / 128, 4
STATEMENTS_A_PAGE = 25  # a page of up to 100 changed tasks, and its export
# Measured by `cargo bench --bench budgets` (README.md, "Measured"), with a store in a directory. Seconds of CPU are those of its machine.
FIRST_CPU_A_TASK, FIRST_CPU_A_CHANGE = 0.00012, 0.000016  # export included
CPU_A_CHANGE, CPU_A_POLL = 0.001, 0.02  # of a change that a poll finds, and of a poll
CPU_OF_AN_OPEN_TASK, CPU_OF_A_SNAPSHOT = 0.00005, 0.00008  # an open task, at each tick of the metrics and in each snapshot
JIRA_POLL, LINEAR_POLL = 3, 3  # requests
JIRA_DISCOVERY = 10  # requests of a first sync that learn about the site
JIRA_FIRST = 11 / 1000  # requests a task
GITHUB_FIRST = 92 / 1000  # points a task
LINEAR_FIRST = 243  # points a task
# What the connectors ask for (connectors/src/*: `ids.rs`, `items.rs`, `sizes.rs`).
JIRA_IDS, LINEAR_IDS = 5000, 250  # ids of a page of the daily complete pass
GITHUB_ITEMS = 100  # items of a page of the sweep that every poll makes
GITHUB_ISSUES = 25  # changed issues of a page
LINEAR_POLL_POINTS, LINEAR_CHANGE_POINTS = 1000, 210
# A series for each open task, unless there are more (`export.metrics.task_info_limit`).
TASK_INFO_LIMIT = 5_000
# Limits of the vendors an hour and token; what leaves people a part of it is the connectors' own.
GITHUB_POINTS = 4000  # of 5,000 (docs.github.com, "Rate limits for the GraphQL API")
LINEAR_REQUESTS, LINEAR_POINTS = 2500, 3_000_000  # linear.app/developers, "Rate limiting"; an older key has 250,000 points
JIRA_REQUESTS = 5 * 3600  # no hourly quota for API tokens; the connector sends at most five searches a second
# Backends.
SPAN_BYTES = 80  # Tempo: 72 to 100 bytes a span, measured (Tempo 3.1, vParquet5)
LOG_BYTES = 120  # Loki: a compressed record with its structured metadata; depends on titles
SAMPLE_BYTES = 1.5  # Prometheus: 1 to 2 bytes a sample (prometheus.io, "Storage")
TEMPO_SPANS, PROMETHEUS_SAMPLES = 35_800, 100_000  # a second that one server takes: Tempo on two cores, measured; Prometheus, usual
SERIES = 2_000_000  # active series of one Prometheus with 16 GB
CORES = 1.0  # of each replica; what one source needs cannot be spread


def amount(text):
    """A number that can be counted with: not less than nothing, and not without end."""
    number = float(text)
    if not 0 <= number < math.inf:
        raise ValueError(text)
    return number


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    number = {"type": amount, "metavar": "N"}
    for name in ("jira", "github", "linear"):
        parser.add_argument(f"--{name}", default=0, help=f"sources of kind {name}", **number)
    parser.add_argument("--projects", default=1, help="projects over all sources", **number)
    parser.add_argument("--tasks", default=1000, help="tasks over all sources", **number)
    parser.add_argument("--open", default=None, help="tasks that are open (a twentieth)", **number)
    parser.add_argument("--changes-a-day", default=None, help="changes a day (one an open task)", **number)
    parser.add_argument("--changes-a-task", default=10, help="changes in the history of a task", **number)
    parser.add_argument("--replicas", default=2, help="replicas that share the sources", **number)
    parser.add_argument("--poll", default=5, help="minutes between polls", **number)
    parser.add_argument("--metrics", default=60, help="seconds between metrics (export.metrics.interval)", **number)
    parser.add_argument("--snapshots", default=15, help="minutes between snapshots (export.snapshot.interval)", **number)
    parser.add_argument("--days", default=365, help="days that backends keep", **number)
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text")
    given = parser.parse_args()
    given.open = given.tasks / 20 if given.open is None else given.open
    given.changes_a_day = given.open if given.changes_a_day is None else given.changes_a_day
    given.sources = given.jira + given.github + given.linear
    if min(given.sources, given.replicas) < 1 or min(given.poll, given.metrics, given.snapshots) <= 0:
        parser.error("there must be a source and a replica, and intervals must be longer than nothing")
    if given.open > given.tasks:
        parser.error("there are more open tasks than tasks")
    return given


def requests(given):
    """Of one source of each kind, an hour."""
    polls, tasks = 60 / given.poll, given.tasks / given.sources
    changes = given.changes_a_day / 24 / given.sources
    # Polls that find something: changes come at random.
    busy = polls * (1 - math.exp(-changes / polls))
    return {
        "jira_requests": polls * JIRA_POLL + busy + changes / 100 + tasks / JIRA_IDS / 24,
        "github_points": polls * (1 + math.ceil(tasks / GITHUB_ITEMS)) + 3 * busy + changes / GITHUB_ISSUES,
        "linear_requests": polls * LINEAR_POLL + busy + tasks / LINEAR_IDS / 24,
        "linear_points": polls * LINEAR_POLL_POINTS + changes * LINEAR_CHANGE_POINTS + tasks / LINEAR_IDS / 24 * 470,
    }


def series(given):
    return given.projects * SAMPLES_A_PROJECT + (given.open if given.open <= TASK_INFO_LIMIT else 0)


def first_sync(given):
    tasks = given.tasks / given.sources
    changes = given.tasks * given.changes_a_task
    return {
        "jira_requests": JIRA_DISCOVERY + tasks * JIRA_FIRST,
        "github_points": tasks * GITHUB_FIRST,
        "linear_points": tasks * LINEAR_FIRST,
        "spans": given.tasks * SPANS_A_TASK + changes * SPANS_A_CHANGE,
        "log_records": given.tasks * LOGS_A_TASK + changes * LOGS_A_CHANGE,
        "cpu_seconds": given.tasks * FIRST_CPU_A_TASK + changes * FIRST_CPU_A_CHANGE,
    }


def exported(given):
    """In an hour."""
    changes = given.changes_a_day / 24
    return {
        "history_spans": changes * SPANS_A_CHANGE,
        "snapshot_spans": given.open * 60 / given.snapshots,
        "log_records": changes * LOGS_A_CHANGE,
        "samples": series(given) * 3600 / given.metrics,
    }


def database(given):
    polls = given.sources * 60 / given.poll
    changes = given.changes_a_day / 24
    pages = min(changes, polls) + changes / 100
    tick = STATEMENTS_A_TICK + TICK_OF_A_SOURCE * given.sources + TICK_OF_A_PROJECT * given.projects + TICK_OF_OPEN * given.open
    ticks = (given.replicas * tick + TICK_OF_AN_EXPORT * given.projects) / given.metrics
    asked = (polls * STATEMENTS_A_POLL + pages * STATEMENTS_A_PAGE) / 3600
    return {
        "bytes": given.tasks * (DATABASE_A_TASK + given.changes_a_task * DATABASE_A_CHANGE),
        "statements_a_second": STATEMENTS_A_SECOND * given.replicas + ticks + asked,
    }


def work(given):
    """Cores that all replicas use together."""
    polls = given.sources * 60 / given.poll * CPU_A_POLL
    changes = given.changes_a_day / 24 * CPU_A_CHANGE
    ticks = given.open * CPU_OF_AN_OPEN_TASK * 3600 / given.metrics
    snapshots = given.open * CPU_OF_A_SNAPSHOT * 60 / given.snapshots
    return (polls + changes + ticks + snapshots) / 3600


def disk(given, first, hour):
    """Bytes that the backends keep."""
    hours = given.days * 24
    spans = first["spans"] + (hour["history_spans"] + hour["snapshot_spans"]) * hours
    return {
        "tempo_bytes": spans * SPAN_BYTES,
        "loki_bytes": (first["log_records"] + hour["log_records"] * hours) * LOG_BYTES,
        "prometheus_bytes": hour["samples"] * hours * SAMPLE_BYTES,
    }


def limits(given, asked, hour):
    """What may break: its share of a limit, the highest first."""
    spans = (hour["history_spans"] + hour["snapshot_spans"]) / 3600
    rows = [
        ("CPU of all replicas", work(given), CORES * given.replicas, "cores"),
        ("active series, of one Prometheus", series(given), SERIES, "series"),
        ("samples, of one Prometheus", hour["samples"] / 3600, PROMETHEUS_SAMPLES, "a second"),
        ("spans, of a Tempo on two cores", spans, TEMPO_SPANS, "a second"),
    ]
    if given.github:
        rows.append(("GitHub, each source", asked["github_points"], GITHUB_POINTS, "points an hour"))
    if given.linear:
        rows.append(("Linear, each source", asked["linear_requests"], LINEAR_REQUESTS, "requests an hour"))
        rows.append(("Linear, each source", asked["linear_points"], LINEAR_POINTS, "points an hour"))
    if given.jira:
        rows.append(("Jira, each source", asked["jira_requests"], JIRA_REQUESTS, "requests an hour"))
    return sorted(rows, key=lambda row: row[1] / row[2], reverse=True)


def costs(given):
    asked, first, hour = requests(given), first_sync(given), exported(given)
    return {
        "an_hour_of_a_source": asked,
        "a_poll": {"jira_requests": JIRA_POLL},
        "a_snapshot": {"spans": given.open},
        "a_moment": {"samples": series(given)},
        "first_sync": first,
        "database": database(given),
        "an_hour": hour,
        "cores": work(given),
        "disk": disk(given, first, hour),
        "limits": [
            {"what": what, "needed": needed, "limit": limit, "unit": unit, "share": needed / limit}
            for what, needed, limit, unit in limits(given, asked, hour)
        ],
    }


def short(number):
    """Two digits that count, for people."""
    for size, unit in ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{float(f'{number / size:.2g}'):g}{unit}"
    return f"{float(f'{number:.2g}'):g}"


def rows(found):
    first, hour, kept, base = found["first_sync"], found["an_hour"], found["disk"], found["database"]
    yield "first sync: spans, log records", f"{short(first['spans'])}, {short(first['log_records'])}"
    yield "spans of finished work an hour", short(hour["history_spans"])
    yield "spans of snapshots an hour", short(hour["snapshot_spans"])
    yield "log records an hour", short(hour["log_records"])
    yield "samples an hour", short(hour["samples"])
    yield "database", f"{short(base['bytes'])}B, {short(base['statements_a_second'])} statements a second"
    yield "disk of Tempo", f"{short(kept['tempo_bytes'])}B"
    yield "disk of Loki", f"{short(kept['loki_bytes'])}B"
    yield "disk of Prometheus", f"{short(kept['prometheus_bytes'])}B"


def table(head, lines):
    yield "| " + " | ".join(head) + " |"
    yield "| --- " + "| ---: " * (len(head) - 1) + "|"
    yield from ("| " + " | ".join(line) + " |" for line in lines)


def report(found, markdown):
    shares = [
        (row["what"], f"{short(row['needed'])} {row['unit']}", short(row["limit"]), f"{100 * row['share']:.0f} %")
        for row in found["limits"]
    ]
    head = ("what may break, the first first", "needed", "limit", "used")
    if markdown:
        yield from table(("what", "amount"), rows(found))
        yield ""
        yield from table(head, shares)
        return
    yield from (f"{what:<40} {amount}" for what, amount in rows(found))
    yield ""
    yield from (f"{what:<40} {needed:>24} {limit:>10} {used:>8}" for what, needed, limit, used in [head, *shares])


def main():
    # A reader that has enough, such as `head`, is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    given = arguments()
    found = costs(given)
    if given.output == "json":
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(report(found, given.output == "markdown")))


if __name__ == "__main__":
    main()
