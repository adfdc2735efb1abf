"""The bare engine: DBOS Transact running workflows of empty steps, on a queue polled as often as Darkroom's is.

`python -m bench.peers.engine URL WORKERS` works until it is ended; whoever wants workflows run enqueues them.
"""

import sys
import threading

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, StepOptions

QUEUE, WORKFLOW, VERSION = "bare", "EMPTY", "1"
#: As many as a job of CREATE_SERVER has.
STEPS = 8
POLL_INTERVAL = 0.1


async def nothing() -> None:
    pass


async def empty() -> None:
    for number in range(STEPS):
        await DBOS.run_step_async(StepOptions(name=f"step {number}"), nothing)


def work(url: str, workers: int) -> None:
    if url.startswith("sqlite"):  # as Darkroom sets it up; it stays so in the file
        with sa.create_engine(url).connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    DBOS(
        config=DBOSConfig(
            name="bare",
            system_database_url=url,
            application_version=VERSION,
            log_level="ERROR",
            db_engine_kwargs={"pool_pre_ping": False},  # as Darkroom sets it
        )
    )
    DBOS.workflow(name=WORKFLOW)(empty)
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=workers, polling_interval_sec=POLL_INTERVAL)
    print("working", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
