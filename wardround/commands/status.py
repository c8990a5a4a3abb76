"""How the studies stand: newest version, metric so far, and for each site what it does and what became of its work.

Reads the log alone, with the registrar's public key; it asks no service and disturbs none.

example:
  wardround status
  wardround status lung --json
"""

import argparse
import time
from typing import TYPE_CHECKING, Any

from runtime.units import human_time
from schemas.text import plain
from wardround.commands import options

_KEEP = (
    "do not make it again while a replica or a backup may have it: `wardround study create` would make it empty, and a "
    "study whose past is gone cannot go on; ask whoever looks after Kafka to bring it back"
)

FINAL = "final"  # of updates that came after the last version: nobody is at fault
_STATES = {"not-enrolled": "not enrolled", "not-started": "not started"}

_RIGHTS = "it may well be there: whoever looks after Kafka can grant it (kafka-acls.sh), and nobody has to make it anew"

if TYPE_CHECKING:
    from audit.history import Commanded, Decision, SiteHistory, StudyHistory
    from schemas.records import SiteState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("study", nargs="?", help="one study (default: all of them)")
    options.add_registrar_public(parser)
    options.add_reader_key(parser)
    options.add_broker(parser)
    options.add_json(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    with options.reading(arguments.broker) as progress:
        histories = options.run(arguments, _read(arguments, progress))
    now_ms = time.time_ns() // 1_000_000
    values = {"studies": [study_values(history, now_ms) for history in histories]}
    lines = [line for history in histories for line in (*study_lines(history, now_ms), "")]
    options.emit(arguments, values, lines[:-1] or ["no study is published yet"])
    return 0


def study_values(history: "StudyHistory", now_ms: int) -> dict[str, Any]:
    """One study for a script."""
    warned = _warnings(history, now_ms)
    sites = [{**site_values(history, site, now_ms), "warnings": warned[site.name]} for site in history.sites.values()]
    return {
        "study": history.study,
        "plan": history.plan_digest.hex(),
        "version": history.version,
        "versions": history.plan.stop.versions,
        "final": history.final,
        "stop": history.stop.name.lower(),
        "metric": history.plan.evaluation.metric,
        "value": history.overall(history.version),
        "sealed": history.sealed,
        "offers": history.offered,
        "counted": history.counted,
        "refused": history.refused,
        "paused": history.orders.paused,
        "excluded": sorted(history.orders.excluded),
        "commands": [_commanded(one) for one in history.commands],
        "topics_missing": [topic for topic in history.missing if topic not in history.forbidden],
        "topics_forbidden": list(history.forbidden),
        "records_passed_over": dict(sorted(history.left_out.items())),
        "sites": sites,
    }


def _warnings(history: "StudyHistory", now_ms: int) -> dict[str, list[str]]:
    """What people have to know of each site: what fails there, and a share far from what its presence allows."""
    from audit.standing import failing, standings

    far = {one.site: one.warning for one in standings(history, now_ms)}
    return {name: [said for said in (far[name] or failing(site),) if said] for name, site in history.sites.items()}


def site_values(history: "StudyHistory", site: "SiteHistory", now_ms: int) -> dict[str, Any]:
    """One site for a script; `staleness` counts from the base version of its newest offer."""
    state, last = site.state(now_ms), site.last
    newest = max(site.offers.values(), default=None, key=lambda offer: offer.sequence)
    return {
        "site": site.name,
        "state": _state(site, state),
        "seen_s": None if not site.seen_ms else round((now_ms - site.seen_ms[-1]) / 1000, 1),
        "staleness": None if newest is None else max(0, history.version - newest.base_version),
        "counted": sum(decision.outcome.name == "COUNTED" for decision in site.decisions.values()),
        "last": None if last is None else _outcome(*last),
        "value": site.newest(history.plan.evaluation.metric),
    }


def _state(site: "SiteHistory", state: "SiteState | None") -> str:
    """What it does; of a site that shows no sign of life, whether it ever did, and whether it may."""
    if not site.enrolled:
        return "not-enrolled"
    if state is not None:
        return state.name.lower()
    return "away" if site.seen_ms else "not-started"


def study_lines(history: "StudyHistory", now_ms: int) -> list[str]:
    """One study for a person: a head and a table of sites."""
    values = study_values(history, now_ms)
    metric = "" if values["value"] is None else f", {values['metric']} {values['value']:.4f}"
    ended = f", ended ({values['stop']})" if history.final else ""
    codes = {code: count for code, count in history.refused.items() if code != FINAL}
    refused = ", ".join(f"{count} {code}" for code, count in codes.items()) or "none"
    late = f", {history.refused[FINAL]} came after the end" if FINAL in history.refused else ""
    reached = f"version {history.version}" if history.version >= 0 else "no version yet"
    paused = ", paused" if history.orders.paused and not history.final else ""
    head = f"{history.study}: {reached}, {history.plan.stop.versions} planned{metric}{paused}{ended}"
    rows = [("site", "state", "seen", "behind", "counted", "last receipt", values["metric"])]
    for site in values["sites"]:
        last = site["last"]
        rows.append(
            (
                site["site"],
                _STATES.get(site["state"], site["state"]),
                "never" if site["seen_s"] is None else f"{human_time(site['seen_s'])} ago",
                "–" if site["staleness"] is None or history.final else str(site["staleness"]),
                str(site["counted"]),
                "–" if last is None else _receipt(last),
                "–" if site["value"] is None else f"{site['value']:.4f}",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    table = ["  " + "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    tail = f"  offers {history.offered}, counted {history.counted}, refused {refused}{late}"
    sealed = [f"  {options.SEALED}"] * history.sealed
    warned = [f"  warning: {site['site']}: {said}" for site in values["sites"] for said in site["warnings"]]
    missing = [_missing_line(history, topic) for topic in history.missing]
    strange = [f"  passed over on {topic}: {count} records" for topic, count in sorted(history.left_out.items())]
    return [
        head,
        *(line.rstrip() for line in table),
        tail,
        *_enrolment_lines(history),
        *warned,
        *_command_lines(values, now_ms),
        *sealed,
        *strange,
        *missing,
    ]


def _enrolment_lines(history: "StudyHistory") -> list[str]:
    """Sites that the plan expects and the roster has not, and those that have not begun; nothing of an ended study."""
    if history.final:
        return []
    enrolled = [site for site in history.sites.values() if site.enrolled]
    lines = []
    if (expected := history.plan.sites_expected) > len(enrolled):
        lines.append(
            f"  enrolled: {len(enrolled)} of the {expected} sites that the plan expects; `wardround registrar approve` "
            "and then `wardround registrar roster` enrol the others"
        )
    if silent := [site.name for site in enrolled if not site.seen_ms]:
        lines.append(
            f"  not started: {', '.join(silent)}; the hospital starts `wardround participant`, with this plan approved "
            f'([[studies]] plan = "{history.plan_digest.hex()}"), or its link does not reach this broker'
        )
    return lines


def _missing_line(history: "StudyHistory", topic: str) -> str:
    """Whose topic the broker has not, and who makes it."""
    from schemas import topics

    if topic in history.forbidden:
        return f"  not allowed: this client may not read {topic}; {_RIGHTS}"
    site = next((name for name in history.sites if topics.offers(name) == topic), None)
    if site is None:
        return f"  missing: the study's topic {topic}; {_KEEP}"
    return f"  missing: the topic of {site}, {topic}; `wardround registrar approve` makes it, empty"


def _command_lines(values: dict[str, Any], now_ms: int) -> list[str]:
    """Whom an operator excluded and why, a line each, and the newest command."""
    commands, lines = values["commands"], []
    for site in values["excluded"]:
        newest = next(one for one in reversed(commands) if (one["action"], one["site"]) == ("exclude", site))
        lines.append(f"  excluded: {site} {_given(newest, now_ms)}")
    if commands:
        newest = commands[-1]
        what = f"{newest['action']} {newest['site']}" if newest["site"] else newest["action"]
        lines.append(f"  last command: {what} {_given(newest, now_ms)}")
    return lines


def _given(command: dict[str, Any], now_ms: int) -> str:
    """By whom, when and why. A reason is whatever an operator signed: nothing of it may steer the terminal."""
    ago = human_time((now_ms - command["at_ms"]) / 1000)
    reason = f" ({plain(command['reason'])})" if command["reason"] else ""
    return f"by {command['operator']} {ago} ago{reason}"


def _commanded(one: "Commanded") -> dict[str, Any]:
    from schemas.records import Action

    return {
        "at_ms": one.at_ms,
        "operator": one.operator,
        "serial": one.command.serial,
        "action": Action(one.command.action).name.lower(),
        "site": one.command.site,
        "reason": one.command.reason,
    }


def _outcome(sequence: int, decision: "Decision") -> dict[str, Any]:
    return {
        "sequence": sequence,
        "outcome": decision.outcome.name.lower(),
        "code": decision.code,
        "version": decision.version,
        "weight": decision.weight,
    }


def _receipt(last: dict[str, Any]) -> str:
    if last["outcome"] == "counted":
        return f"counted in {last['version']}, weight {last['weight']}/16"
    if last["code"] == FINAL:
        return "not needed: came after the end"
    return f"{last['outcome']} ({last['code']})" if last["code"] else str(last["outcome"])


async def _read(arguments: argparse.Namespace, progress: options.Progress) -> list["StudyHistory"]:
    from audit.federation import AsyncFederation

    options.logs_of_a_command()
    async with AsyncFederation(
        **options.reached(arguments, arguments.key),
        registrar_key=arguments.registrar,
        opening_key=arguments.key,
        progress=progress,
    ) as federation:
        names = [arguments.study] if arguments.study else sorted(await federation.studies())
        return [await federation.history(name) for name in names]
