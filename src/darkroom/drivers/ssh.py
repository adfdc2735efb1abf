"""Logs in to guests by SSH, knowing each by its host key."""

import asyncio
import logging

import asyncssh

from darkroom.drivers.base import Door, GuestAccount
from darkroom.errors import LoginFailed

# The library tells every step of a connection at the level of information.
logging.getLogger("asyncssh").setLevel(logging.WARNING)

#: Seconds for one attempt; emulated guests need several for the key exchange.
_ATTEMPT = 30.0


async def try_login(account: GuestAccount, door: Door, *, timeout: float) -> None:
    """Log in once as the account by its key, trying again until `timeout` seconds are over. Raises LoginFailed."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    last = "there was no time for an attempt"
    pause = 0.2
    while (left := deadline - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(left, _ATTEMPT)):
                return await _log_in(account, door)
        except asyncssh.HostKeyNotVerifiable as problem:
            raise LoginFailed(f"Another machine answers at {door.address}:{door.port}: {problem.reason}.") from problem
        except TimeoutError:
            last = last if left < _ATTEMPT else f"no answer within {_ATTEMPT:.0f} s"
        except (OSError, asyncssh.Error) as problem:
            last = str(problem) or type(problem).__name__
        await asyncio.sleep(min(pause, max(0.0, deadline - loop.time())))
        pause = min(pause * 1.5, 2.0)
    raise LoginFailed(f"The account {account.name!r} could not log in within {timeout:.0f} s: {last}.")


async def _log_in(account: GuestAccount, door: Door) -> None:
    known = asyncssh.import_known_hosts(f"[{door.address}]:{door.port} {door.host_key}\n")
    connection = await asyncssh.connect(
        door.address,
        door.port,
        username=account.name,
        client_keys=[asyncssh.import_private_key(account.private_key)],
        known_hosts=known,
        # Neither the keys nor the settings of whoever runs the service may have a say here.
        config=[],
        agent_path=None,
        preferred_auth="publickey",
        connect_timeout=_ATTEMPT,
        login_timeout=_ATTEMPT,
    )
    async with connection:
        answer = await connection.run("id -un", check=True)
    if str(answer.stdout).strip() != account.name:
        raise LoginFailed(f"The login as {account.name!r} led to another account: {str(answer.stdout).strip()!r}.")
