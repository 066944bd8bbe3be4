"""A workflow whose run waits for a promise, and a service that starts it."""

from restate import (
    Context,
    Service,
    TerminalError,
    Workflow,
    WorkflowContext,
    WorkflowSharedContext,
)

order = Workflow("Order")
desk = Service("Desk")


@order.main("run")
async def run(ctx: WorkflowContext, item: str) -> dict:
    ctx.set("item", item)
    paid = await ctx.promise("paid", type_hint=str).value()
    return {"item": item, "paid": paid}


@order.handler("pay")
async def pay(ctx: WorkflowSharedContext, paid: str) -> str:
    await ctx.promise("paid", type_hint=str).resolve(paid)
    return "kept"


@order.handler("refuse")
async def refuse(ctx: WorkflowSharedContext, reason: str) -> None:
    await ctx.promise("paid", type_hint=str).reject(reason)


@order.handler("look")
async def look_at_order(ctx: WorkflowSharedContext) -> dict:
    return {
        "item": await ctx.get("item"),
        "paid": await ctx.promise("paid", type_hint=str).peek(),
    }


@order.handler("wait")
async def wait(ctx: WorkflowSharedContext) -> str:
    return await ctx.promise("paid", type_hint=str).value()


@desk.handler("order")
async def place(ctx: Context, ordered: dict) -> dict:
    try:
        receipt = await ctx.workflow_call(run, ordered["key"], ordered["item"])
        return {"receipt": receipt, "code": None, "message": None}
    except TerminalError as error:
        return {"receipt": None, "code": error.status_code, "message": error.message}


@desk.handler("send")
async def send(ctx: Context, ordered: dict) -> str:
    sent = ctx.workflow_send(run, ordered["key"], ordered["item"])
    return await sent.invocation_id()
