"""Steps of a plan in their order, each checkpointed by the engine."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from dbos import DBOS, StepOptions

from darkroom.workflows.patience import patiently
from darkroom.workflows.plan import Plan, Step
from darkroom.workflows.runner import Runner, StepResult


async def run(plan: Plan, runner: Runner) -> None:
    """Run the steps in order; where one fails, undo those that were begun, newest first."""
    begun: list[Step] = []
    for step in plan.steps:
        begun.append(step)
        result = await take(runner, step.name, Runner.do, step)
        if result["fault"]:
            break
    else:
        result = await take(runner, "succeed", Runner.succeed)
    if result["fault"]:
        await take(runner, "roll back", Runner.roll_back, result["fault"])
        await undo(begun, runner)


async def undo(steps: Sequence[Step], runner: Runner) -> None:
    """Undo the steps, the last one first, and end the sub-job; one that cannot be undone keeps none of the others."""
    undone = True
    for step in reversed(steps):
        if step.undo:
            undoing = await take(runner, f"undo {step.name}", Runner.undo, step)
            undone = undone and not undoing["fault"]
    await take(runner, "fail", Runner.fail, undone)


async def take(
    runner: Runner, name: str, function: Callable[..., Awaitable[StepResult]], *arguments: Any
) -> StepResult:
    """Have a runner do something as a checkpointed step. The result is what a resumed workflow gets back."""

    async def body() -> StepResult:
        return await patiently(lambda: function(runner, *arguments), runner.job_id)

    result: StepResult = await DBOS.run_step_async(StepOptions(name=runner.name(name)), body)
    runner.goes_on_after(result)
    return result
