"""How long a command waits for a broker: as long as something moves, and not longer than it makes sense.

Never:    says that a broker is not there which answers; waits on where its address can only be wrong.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from schemas.errors import TransientError
from transport.staying.link import Link
from transport.staying.trouble import Trouble


@asynccontextmanager
async def patient(link: Link, seconds: float) -> AsyncIterator[Callable[[], None]]:
    """Wait in the block while something moves; call what this yields whenever something did.

    A wait that a quota asks for is none. Raises TransientError after `seconds` in which nothing moved, and earlier
    where it is known that waiting does not help, saying what is known of the reason.
    """
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        async with asyncio.timeout(seconds) as limit:

            def renew(more_s: float = 0.0) -> None:
                if not limit.expired():
                    limit.reschedule(max(limit.when() or 0.0, loop.time() + more_s + seconds))

            def troubled(trouble: Trouble) -> None:
                if not limit.expired():
                    until_s = max(loop.time(), began_s + trouble.patience_s)
                    limit.reschedule(min(limit.when() or until_s, until_s))

            forget = [link.on_throttle(lambda _kind, wait_s: renew(wait_s)), link.on_trouble(troubled)]
            try:
                yield renew
            finally:
                for each in forget:
                    each()
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise TransientError(link.why_given_up(seconds)) from error
