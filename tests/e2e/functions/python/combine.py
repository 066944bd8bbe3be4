"""Handlers that wait for several things at once, each in its own way."""

from datetime import timedelta

from restate import ObjectContext, TerminalError, VirtualObject, as_completed, gather, select

from calls import nap
from state import apply

HOUR = timedelta(hours=1)

combiner = VirtualObject("Combiner")


def two(ctx: ObjectContext) -> list:
    """Makes two awakeables, and notes their ids in `Store` as `first` and `second`."""
    made = [ctx.awakeable(type_hint=str) for _ in range(2)]
    sets = [
        {"op": "set", "name": name, "value": awakeable}
        for name, (awakeable, _) in zip(["first", "second"], made)
    ]
    ctx.object_send(apply, ctx.key(), sets)
    return [promise for _, promise in made]


async def value_of(future) -> str:
    try:
        return await future
    except TerminalError as error:
        return f"failed: {error.message}"


@combiner.handler("all")
async def all_of(ctx: ObjectContext) -> str:
    first, second = two(ctx)
    naps = ctx.service_call(nap, 1)
    ran = ctx.run_typed("ran", lambda: "ran")
    asleep = ctx.sleep(timedelta(milliseconds=1))
    waiting = [first, second, naps, ran, asleep]
    async for future in as_completed(*waiting):
        try:
            await future
        except TerminalError as error:
            return f"failed: {error.message}"
    return f"{await first}, {await second}, {await ran}"


@combiner.handler("any")
async def any_of(ctx: ObjectContext) -> str:
    async for future in as_completed(*two(ctx)):
        try:
            return await future
        except TerminalError:
            continue
    return "all failed"


@combiner.handler("race")
async def race(ctx: ObjectContext) -> str:
    first, second = two(ctx)
    try:
        who, value = await select(first=first, second=second, late=ctx.sleep(HOUR))
    except TerminalError as error:
        return f"failed: {error.message}"
    return "late" if who == "late" else value


@combiner.handler("settled")
async def settled(ctx: ObjectContext) -> str:
    first, second = two(ctx)
    await gather(first, second, ctx.service_call(nap, 1))
    return f"{await value_of(first)}, {await value_of(second)}"


@combiner.handler("nested")
async def nested(ctx: ObjectContext) -> str:
    """Waits for both; one that needs a late sleep as well never wins."""
    first, second = two(ctx)
    late = ctx.sleep(HOUR)
    open_futures = {"first": first, "second": second, "late": late}
    while "first" in open_futures or ("second" in open_futures and "late" in open_futures):
        who, _ = await select(**open_futures)
        del open_futures[who]
    return f"{await first}, {await second}"
