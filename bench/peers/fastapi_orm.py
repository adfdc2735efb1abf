"""The same read as a FastAPI service with SQLAlchemy's ORM would do it, over the same tables.

`python fastapi_orm.py URL SECRET`, in a virtual environment of its own: a signed token is checked, the job is loaded
with its sub-jobs, and answered through a response model.
"""

import asyncio
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
import uvicorn
import uvloop
from fastapi import Depends, FastAPI, Header, HTTPException
from pydantic import BaseModel
from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

URL, SECRET = sys.argv[1:]


class Base(DeclarativeBase):
    pass


class JobRow(Base):
    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    project_id: Mapped[str]
    job_type: Mapped[str]
    status: Mapped[str]
    begin_time: Mapped[int] = mapped_column(BigInteger)
    end_time: Mapped[int | None] = mapped_column(BigInteger)
    sub_jobs_total: Mapped[int]
    sub_jobs: Mapped[list["SubJobRow"]] = relationship(order_by="SubJobRow.id")


class SubJobRow(Base):
    __tablename__ = "sub_jobs"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    job_id: Mapped[int] = mapped_column(ForeignKey("jobs.id"))
    project_id: Mapped[str]
    job_type: Mapped[str]
    status: Mapped[str]
    resource_id: Mapped[str]
    resource_name: Mapped[str]
    begin_time: Mapped[int] = mapped_column(BigInteger)
    end_time: Mapped[int | None] = mapped_column(BigInteger)
    error_code: Mapped[str]
    error_message: Mapped[str]


class ResourceInfo(BaseModel):
    resource_id: str
    resource_name: str


class ExecuteInfo(BaseModel):
    error_code: str
    error_message: str


class SubJob(BaseModel):
    id: str
    job_type: str
    job_resource_info: ResourceInfo
    begin_time: str
    end_time: str | None
    status: str
    job_execute_info: ExecuteInfo
    project_id: str
    job_id: str


class Job(BaseModel):
    id: str
    job_type: str
    begin_time: str
    end_time: str | None
    status: str
    sub_jobs_total: int
    sub_jobs: list[SubJob]


app = FastAPI()
engine = create_async_engine(URL.replace("postgresql://", "postgresql+asyncpg://"), pool_size=10)
sessions = async_sessionmaker(engine)


def project(x_auth_token: Annotated[str, Header()]) -> str:
    try:
        return str(jwt.decode(x_auth_token, SECRET, algorithms=["HS256"])["project_id"])
    except jwt.InvalidTokenError:
        raise HTTPException(401) from None


async def session() -> Any:
    async with sessions() as opened:
        yield opened


@app.get("/v1/{project_id}/image-server-jobs/{job_id}")
async def show_job(
    project_id: str,
    job_id: int,
    caller: Annotated[str, Depends(project)],
    session: Annotated[AsyncSession, Depends(session)],
) -> Job:
    if project_id != caller:
        raise HTTPException(403)
    row = await session.get(JobRow, job_id, options=[selectinload(JobRow.sub_jobs)])
    if row is None or row.project_id != project_id:
        raise HTTPException(404)
    return Job(
        id=str(row.id), job_type=row.job_type, begin_time=spelled(row.begin_time), end_time=end_of(row.end_time),
        status=row.status, sub_jobs_total=row.sub_jobs_total, sub_jobs=[shown(each) for each in row.sub_jobs],
    )  # fmt: skip


def shown(row: SubJobRow) -> SubJob:
    return SubJob(
        id=str(row.id), job_type=row.job_type, status=row.status, project_id=row.project_id, job_id=str(row.job_id),
        job_resource_info=ResourceInfo(resource_id=row.resource_id, resource_name=row.resource_name),
        begin_time=spelled(row.begin_time), end_time=end_of(row.end_time),
        job_execute_info=ExecuteInfo(error_code=row.error_code, error_message=row.error_message),
    )  # fmt: skip


def spelled(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def end_of(ms: int | None) -> str | None:
    return None if ms is None else spelled(ms)


async def serve() -> None:
    server = uvicorn.Server(uvicorn.Config(app, port=0, http="httptools", log_config=None, access_log=False))
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    print(f"http://{host}:{port}", flush=True)
    await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
