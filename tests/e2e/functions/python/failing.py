"""Handlers that fail, for good or for a while, and steps that must not run twice."""

from collections import Counter
from datetime import timedelta
from uuid import uuid4

from restate import Context, InvocationRetryPolicy, Service, TerminalError

failing = Service("Failing")
steps = Service("Steps")

tries: Counter = Counter()
allowed: set = set()
wandered: Counter = Counter()

SOON = timedelta(milliseconds=10)


def decline() -> None:
    raise TerminalError("the card was declined", status_code=422)


@failing.handler("terminally")
async def terminally(_ctx: Context) -> None:
    decline()


@failing.handler("terminalStep")
async def terminal_step(ctx: Context) -> None:
    await ctx.run_typed("charge", decline)


@failing.handler("twice", invocation_retry_policy=InvocationRetryPolicy(initial_interval=SOON))
async def twice(ctx: Context) -> int:
    invocation = ctx.request().id
    tries[invocation] += 1
    if tries[invocation] < 3:
        raise ValueError("not yet")
    return tries[invocation]


@failing.handler(
    "pauses",
    invocation_retry_policy=InvocationRetryPolicy(
        initial_interval=SOON, max_attempts=2, on_max_attempts="pause"
    ),
)
async def pauses(_ctx: Context, name: str) -> str:
    if name not in allowed:
        raise ValueError(f"{name} is not allowed yet")
    return name


@failing.handler(
    "wanders",
    invocation_retry_policy=InvocationRetryPolicy(
        initial_interval=SOON, max_attempts=2, on_max_attempts="pause"
    ),
)
async def wanders(ctx: Context) -> str:
    """Takes the same step whenever it is asked, but for once."""
    invocation = ctx.request().id
    before = wandered[invocation]
    if before == 1:
        wandered[invocation] = 2
        await ctx.sleep(SOON)
    packed = await ctx.run_typed("pack", lambda: "packed")
    if before == 0:
        wandered[invocation] = 1
        raise ValueError("lost")
    return packed


@failing.handler("allow")
async def allow(_ctx: Context, name: str) -> None:
    allowed.add(name)


@failing.handler(
    "dies",
    invocation_retry_policy=InvocationRetryPolicy(
        initial_interval=SOON, max_attempts=2, on_max_attempts="kill"
    ),
)
async def dies(_ctx: Context) -> None:
    raise ValueError("never")


@steps.handler("run")
async def run(ctx: Context, count: int) -> list:
    return [await ctx.run_typed(f"step {step}", lambda: str(uuid4())) for step in range(count)]
