"""Objects with state: scripts of state commands, and a history that shows the order of its calls."""

from datetime import timedelta
from hashlib import sha256

from restate import ObjectContext, ObjectSharedContext, VirtualObject

store = VirtualObject("Store")
lazy_store = VirtualObject("LazyStore", state_preload=False)
history = VirtualObject("History")


async def run_script(ctx: ObjectContext, steps: list) -> list:
    results = []
    for step in steps:
        match step["op"]:
            case "set":
                ctx.set(step["name"], step["value"])
            case "get":
                results.append(await ctx.get(step["name"]))
            case "clear":
                ctx.clear(step["name"])
            case "clearAll":
                ctx.clear_all()
            case "keys":
                results.append(sorted(await ctx.state_keys()))
            case "sleep":
                await ctx.sleep(timedelta(milliseconds=1))
    return results


@store.handler("apply")
async def apply(ctx: ObjectContext, steps: list) -> list:
    return await run_script(ctx, steps)


@store.handler("peek", kind="shared")
async def peek(ctx: ObjectSharedContext, name: str) -> str | None:
    return await ctx.get(name)


@lazy_store.handler("apply")
async def apply_lazily(ctx: ObjectContext, steps: list) -> list:
    return await run_script(ctx, steps)


@lazy_store.handler("peek", kind="shared")
async def peek_lazily(ctx: ObjectSharedContext, name: str) -> str | None:
    return await ctx.get(name)


@history.handler("append")
async def append(ctx: ObjectContext, item: str) -> dict:
    entries = await ctx.get("entries") or []
    last = await ctx.get("hash") or ""
    digest = await ctx.run_typed("hash", lambda: sha256((last + item).encode()).hexdigest())
    ctx.set("hash", digest)
    ctx.set("entries", [*entries, item])
    return {"position": len(entries), "hash": digest}


@history.handler("read", kind="shared")
async def read(ctx: ObjectSharedContext) -> dict:
    return {
        "entries": await ctx.get("entries") or [],
        "hash": await ctx.get("hash") or "",
    }
