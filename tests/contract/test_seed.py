"""The example of the page that the contract starts from (ShowImageJob, 2024-09-05), reproduced byte for byte."""

import json

from service_process import Service

from darkroom.domain.ids import JobId, ProjectId, SubJobId
from darkroom.domain.jobs import Job, JobStatus, JobType, SubJob, SubJobStatus
from darkroom.store.transaction import Transaction
from darkroom.wire.times import parse

PROJECT = "a4da8115c9d8464ead3a38309130523f"
EXAMPLE = """
{
  "id" : "702364883651395584",
  "job_type" : "CREATE_SERVER_IMAGE",
  "begin_time" : "2024-05-20T10:39:49.61Z",
  "end_time" : "2024-05-20T11:03:24.206Z",
  "status" : "SUCCESS",
  "sub_jobs_total" : 1,
  "sub_jobs" : [ {
    "id" : "702364884037271552",
    "job_type" : "CREATE_SERVER_IMAGE",
    "job_resource_info" : {
      "resource_id" : "f5d443de-a623-4950-a74d-569fe63c1f7a",
      "resource_name" : "123"
    },
    "begin_time" : "2024-05-20T10:39:50.723Z",
    "end_time" : "2024-05-20T11:03:24.194Z",
    "status" : "SUCCESS",
    "job_execute_info" : {
      "error_code" : "",
      "error_message" : ""
    },
    "project_id" : "a4da8115c9d8464ead3a38309130523f",
    "job_id" : "702364883651395584"
  } ]
}
"""


def record_the_example(tx: Transaction) -> None:
    """Put the example's job into the records, as its service would have had it."""
    sub_job = SubJob(
        id=SubJobId("702364884037271552"),
        job_id=JobId("702364883651395584"),
        project_id=ProjectId(PROJECT),
        job_type=JobType.CREATE_SERVER_IMAGE,
        status=SubJobStatus.RUNNING,
        resource_id="",
        resource_name="123",
        begin_time=parse("2024-05-20T10:39:50.723Z"),
    )
    job = Job(
        id=sub_job.job_id,
        project_id=sub_job.project_id,
        job_type=sub_job.job_type,
        status=JobStatus.RUNNING,
        begin_time=parse("2024-05-20T10:39:49.61Z"),
        sub_jobs_total=1,
        order={},
        sub_jobs=(sub_job,),
    )
    tx.jobs.add(job)
    assert tx.jobs.move(sub_job, SubJobStatus.SUCCESS, parse("2024-05-20T11:03:24.194Z"))
    tx.jobs.name_resource(sub_job, "f5d443de-a623-4950-a74d-569fe63c1f7a")
    tx.jobs.end(job, parse("2024-05-20T11:03:24.206Z"))


def test_the_seeds_example_is_answered_byte_for_byte(service: Service) -> None:
    service.add_project(PROJECT)
    service.write(record_the_example)
    path = f"/v1/{PROJECT}/image-server-jobs/702364883651395584"
    answer = service.ask("GET", path, headers={"X-Project-Id": PROJECT})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    expected = json.loads(EXAMPLE)
    assert answer.json() == expected
    assert json.dumps(answer.json()) == json.dumps(expected), "the keys are in the seed's order"
    assert answer.content == json.dumps(expected, separators=(",", ":")).encode()
    listed = service.ask("GET", f"/v1/{PROJECT}/image-server-jobs?job_type=", headers={"X-Project-Id": PROJECT})
    del expected["sub_jobs"]
    assert listed.content == json.dumps({"count": 1, "items": [expected]}, separators=(",", ":")).encode()
