"""The built-in IAM: all services of identity, over one register."""

from collections.abc import Callable

from darkroom.domain.times import Clock
from darkroom.services.directory import Directory
from darkroom.services.first_start import Credentials, bootstrap
from darkroom.services.identity import Identity
from darkroom.services.keys import TemporaryKeys
from darkroom.services.passwords import Passwords
from darkroom.services.projects import Projects
from darkroom.services.register import Register
from darkroom.services.roles import Roles
from darkroom.services.sign_in import SignIn
from darkroom.services.tokens import Tokens
from darkroom.services.users import Users
from darkroom.store.sealing import Sealer
from darkroom.store.store import Store


class Iam:
    """Who is who, who may do what, and who may change that."""

    def __init__(self, store: Store, sealer: Sealer, clock: Clock, region: str) -> None:
        self._store, self._clock, self._region = store, clock, region
        self._passwords = Passwords()
        register = Register(store, clock)
        tokens, temporary_keys = Tokens(sealer, clock), TemporaryKeys(sealer, clock)
        self.identity = Identity(register, tokens, temporary_keys)
        self.sign_in = SignIn(store, register, self.identity, self._passwords, tokens, temporary_keys, clock)
        self.directory = Directory(register)
        self.users = Users(store, register, self.directory, self._passwords, clock)
        self.projects = Projects(register, self.directory, region)
        self.roles = Roles(register, self.directory)

    async def bootstrap(self, keep: Callable[[Credentials], None]) -> Credentials | None:
        """Make the main account and its first user, if `keep` keeps what that user needs to sign in.

        Returns None if there is an account already.
        """
        return await bootstrap(self._store, self._passwords, self._clock, self._region, keep)
