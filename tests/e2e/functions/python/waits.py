"""Handlers that wait for somebody else, and those who end the wait."""

from restate import Context, ObjectContext, ObjectSharedContext, Service, TerminalError, VirtualObject

from state import append, apply

waiter = VirtualObject("Waiter")
blocker = VirtualObject("Blocker")
resolver = Service("Resolver")


def note(ctx: ObjectContext, name: str, value: str) -> None:
    ctx.object_send(apply, ctx.key(), [{"op": "set", "name": name, "value": value}])


@waiter.handler("awakeable")
async def awakeable(ctx: ObjectContext) -> str:
    name, promise = ctx.awakeable(type_hint=str)
    note(ctx, "awakeable", name)
    return await promise


@waiter.handler("signal")
async def signal(ctx: ObjectContext, name: str) -> str:
    note(ctx, "invocation", ctx.request().id)
    return await ctx.signal(name, type_hint=str)


@blocker.handler("block")
async def block(ctx: ObjectContext) -> None:
    note(ctx, "blocked", ctx.request().id)
    _, promise = ctx.awakeable(type_hint=str)
    try:
        await promise
    except TerminalError as error:
        ctx.object_send(append, ctx.key(), error.message)
        raise


@blocker.handler("free")
async def free(_ctx: ObjectContext) -> str:
    return "free"


@blocker.handler("look", kind="shared")
async def look(_ctx: ObjectSharedContext) -> str:
    return "here"


@resolver.handler("resolve")
async def resolve(ctx: Context, request: dict) -> None:
    ctx.resolve_awakeable(request["id"], request["value"])


@resolver.handler("reject")
async def reject(ctx: Context, request: dict) -> None:
    ctx.reject_awakeable(request["id"], request["value"])


@resolver.handler("signal")
async def resolve_signal(ctx: Context, request: dict) -> None:
    ctx.resolve_signal(request["invocation"], request["name"], request["value"])


@resolver.handler("rejectSignal")
async def reject_signal(ctx: Context, request: dict) -> None:
    ctx.reject_signal(request["invocation"], request["name"], request["value"])


@resolver.handler("cancel")
async def cancel(ctx: Context, invocation: str) -> None:
    ctx.cancel_invocation(invocation)
