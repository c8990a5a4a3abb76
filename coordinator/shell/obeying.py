"""What operators want of a study, as its `commands` topic and the newest roster have it."""

import structlog

from coordinator.core.events import Commanded
from coordinator.shell.restore import take_command
from coordinator.shell.services import Services
from protocol.commands import CommandLog
from schemas.records import Action
from transport.reading.log import Entry

log = structlog.get_logger()


class Obeying:
    """The commands of one study; `following` is where on the topic the next one lies."""

    def __init__(self, services: Services, commands: CommandLog, following: int) -> None:
        self.following = following
        self._services, self._commands = services, commands

    def holding(self) -> Commanded:
        """What holds, by the newest roster."""
        return Commanded(self._commands.holding(self._services.membership))

    def take(self, entry: Entry) -> bool:
        """Hear one more; whether it was an operator's."""
        services, study = self._services, self._commands.study
        if not take_command(self._commands, entry, services):
            return False
        judged = self._commands.judge(services.membership)
        if judged:
            newest = judged[-1]
            services.metrics.commands.labels(study, "obeyed" if newest.command is not None else "refused").inc()
            if newest.command is not None:
                action, reason = Action(newest.command.action).name.lower(), newest.command.reason
                log.warning("command obeyed", study=study, operator=newest.operator, action=action, reason=reason)
            else:
                services.strangers.say("command refused", entry, newest.reason, operator=newest.operator)
        return True
