"""What the console works with: the services, as the API has them."""

from dataclasses import dataclass

from darkroom.console.session import Sessions
from darkroom.services.apps import Apps
from darkroom.services.cleaning import Cleaning
from darkroom.services.evidence import Failures
from darkroom.services.images import Images
from darkroom.services.jobs import Jobs
from darkroom.services.retries import Retries
from darkroom.services.servers import Servers
from darkroom.services.terminals import Terminals
from darkroom.services.timeline import Timelines
from darkroom.services.watching import Watching


@dataclass(frozen=True, kw_only=True)
class Rooms:
    """All that pages ask."""

    sessions: Sessions
    jobs: Jobs
    timelines: Timelines
    failures: Failures
    retries: Retries
    cleaning: Cleaning
    watching: Watching
    servers: Servers
    terminals: Terminals
    images: Images
    apps: Apps
