"""A service that calls others in every way there is."""

import time
from datetime import timedelta

from restate import Context, Service, TerminalError, gather

from failing import terminally
from state import append, apply
from waits import block

timer = Service("Timer")
caller = Service("Caller")


def now_millis() -> int:
    return time.time_ns() // 1_000_000


@timer.handler("nap")
async def nap(ctx: Context, millis: int) -> list:
    asleep = await ctx.run_typed("asleep", now_millis)
    await ctx.sleep(timedelta(milliseconds=millis))
    awake = await ctx.run_typed("awake", now_millis)
    return [asleep, awake]


@timer.handler("stamp")
async def stamp(ctx: Context, key: str) -> None:
    now = await ctx.run_typed("now", now_millis)
    await ctx.object_call(apply, key, [{"op": "set", "name": "stamped", "value": str(now)}])


@caller.handler("append")
async def call_append(ctx: Context, request: dict) -> dict:
    return await ctx.object_call(append, request["key"], request["item"])


@caller.handler("twice")
async def twice(ctx: Context, request: dict) -> dict:
    key, item = request["key"], request["item"]
    first = ctx.object_call(append, key, item, idempotency_key=f"twice-{item}")
    second = ctx.object_call(append, key, item, idempotency_key=f"twice-{item}")
    ids = [await first.invocation_id(), await second.invocation_id()]
    await gather(first, second)
    return {"ids": ids, "answers": [await first, await second]}


@caller.handler("sendAll")
async def send_all(ctx: Context, request: dict) -> list:
    sent = [ctx.object_send(append, request["key"], item) for item in request["items"]]
    return [await handle.invocation_id() for handle in sent]


@caller.handler("stampLater")
async def stamp_later(ctx: Context, request: dict) -> int:
    sent = await ctx.run_typed("now", now_millis)
    ctx.service_send(stamp, request["key"], send_delay=timedelta(milliseconds=request["millis"]))
    return sent


@caller.handler("attach")
async def attach(ctx: Context, invocation_id: str) -> dict:
    return await ctx.attach_invocation(invocation_id, type_hint=dict)


@caller.handler("failure")
async def failure(ctx: Context) -> dict:
    try:
        await ctx.service_call(terminally, None)
    except TerminalError as error:
        return {"code": error.status_code, "message": error.message}
    raise TerminalError("the callee did not fail")


@caller.handler("block")
async def call_block(ctx: Context, request: dict) -> None:
    ctx.object_send(block, request["sent"], None)
    await ctx.object_call(block, request["called"], None)
