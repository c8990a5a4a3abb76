"""The command `wardround`: finds the command's module, runs it, turns errors into one clear line and an exit code.

Knows:    exit codes: 0 done, 1 failed, 2 set up wrongly (also wrong arguments), 3 broker not reached,
          130 interrupted, 141 nobody reads the output any more.
Never:    imports a command that was not asked for: ten services start at once on a small machine.
"""

import argparse
import difflib
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from learning.places import look_in
from runtime.stderr import STDERR, forget_unwritten, keep_standard_streams
from schemas.errors import FederationError
from wardround.output import Output

INTERRUPTED, READER_GONE = 130, 141  # as shells tell SIGINT and SIGPIPE
COMMANDS: Mapping[str, tuple[str, str]] = {  # name -> (module, what it does)
    "demo": ("demo", "watch hospitals learn together over a Kafka of its own"),
    "try": ("rehearse", "play your own study on this machine, every site a process"),
    "plan": ("plan", "write, check, name and sign the plan of a study"),
    "task": ("task", "try a study's task before hospitals are asked"),
    "simulate": ("simulate", "play a plan ahead on virtual time, beside alternatives"),
    "compare": ("compare", "what to expect: alone, federated and pooled, over splits, with intervals"),
    "site": ("site", "join a federation as a hospital: folder, request, answer"),
    "keys": ("keys", "make a member's keys"),
    "registrar": ("registrar", "say who belongs: registrar keys, members, roster"),
    "study": ("study", "begin a study from its signed plan"),
    "operator": ("operator", "command a study: pause, resume, exclude, include, close, stop"),
    "coordinator": ("coordinator", "run the service that makes new versions"),
    "participant": ("participant", "run a hospital's service: fetches, trains, sends"),
    "doctor": ("doctor", "what is wrong here: keys, network, rights, roster, task; and what to do"),
    "status": ("status", "how the studies stand and what each site is doing"),
    "report": ("report", "write a study's report as one HTML file"),
    "model": ("model", "export a version as a safetensors file, or show what such a file holds"),
    "predict": ("predict", "predict for a table of patients with an exported model"),
    "audit": ("audit", "look behind what was announced: compute a version again and compare"),
    "recompute": ("recompute", "the words of before for `audit recompute`"),
    "kafka": ("kafka", "start and stop a small Kafka on this machine"),
}
_EPILOG = """\
a federation by hand:
  wardround kafka up                                    a broker on this machine
  wardround registrar keys --out keys                   the registrar's keys
  wardround keys new coordinator --out keys             keys for each member
  wardround keys new clinic-north --out keys
  wardround registrar approve keys/coordinator.pub --role coordinator
  wardround registrar approve keys/clinic-north.pub
  wardround plan sign plan.toml                         runs the task once, makes version 0
  wardround study create lung.plan

exit codes: 0 done, 1 failed, 2 set up wrongly, 3 broker not reached within 10 s, 130 interrupted,
141 nobody reads the output any more
`wardround COMMAND --help` tells more.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Output that cannot be written is no success."""
    keep_standard_streams()
    try:
        with Output() as output:
            code = _watched(output, list(sys.argv[1:] if argv is None else argv))
            failed = output.failure()
        if isinstance(failed, BrokenPipeError):  # the reader of our output, e.g. `head`, has seen enough
            return READER_GONE
        if failed is not None:
            STDERR.write(f"error: the output cannot be written: {failed.strerror}\n")
            return 1
        return code
    finally:
        forget_unwritten()


def _watched(output: Output, words: list[str]) -> int:
    """Run; an error or an early end is passed on unless it comes of output that cannot be written."""
    try:
        return _told(words)
    except (OSError, SystemExit):  # argparse ends after help, or wrong arguments
        if output.failure() is None:
            raise
        return 1


def _told(words: list[str]) -> int:
    try:
        return _run(words)
    except FederationError as error:
        from runtime.service import report

        return report(error)
    except KeyboardInterrupt:
        STDERR.write("interrupted\n")
        return INTERRUPTED


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help())
        return 0 if words else 2
    if words[0] == "--version":
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"wardround {version('wardround')}")
        except PackageNotFoundError:
            print("wardround (from a checkout)")
        return 0
    name, rest = words[0], words[1:]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `wardround {near[0]}`?" if near else f"commands: {', '.join(COMMANDS)}"
        STDERR.write(f"error: no command `{name}`\nhint:  {hint}\n")
        return 2
    module = importlib.import_module(f"wardround.commands.{COMMANDS[name][0]}")
    parser = argparse.ArgumentParser(
        prog=f"wardround {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    arguments = parser.parse_args(rest)
    look_in(Path.cwd())  # the installed command, other than `python -m`, would find no task of the person's there
    run: Callable[[argparse.Namespace], int] = arguments.run
    return run(arguments)


def _help() -> str:
    lines = "\n".join(f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: wardround COMMAND ...\n\n"
        "Federated learning for hospitals over Kafka: records stay where they are, updates travel.\n\n"
        f"commands:\n{lines}\n\n{_EPILOG}"
    )


if __name__ == "__main__":
    sys.exit(main())
