"""An auction: one virtual object for each item, which closes by a timer of its own."""

from datetime import timedelta

from restate import ObjectContext, ObjectSharedContext, TerminalError, VirtualObject

auction = VirtualObject("Auction")


@auction.handler("open")
async def open_auction(ctx: ObjectContext, request: dict) -> dict:
    """Opens the auction for so many seconds, at a lowest price."""
    if await ctx.get("auction"):
        raise TerminalError("this item has had its auction", status_code=409)
    state = {"status": "open", "price": request["price"], "highest": None}
    ctx.set("auction", state)
    # A one-way call that arrives later: it closes the auction even if every process is
    # restarted in between.
    ctx.object_send(close, ctx.key(), None, send_delay=timedelta(seconds=request["seconds"]))
    return state


@auction.handler("bid")
async def bid(ctx: ObjectContext, request: dict) -> dict:
    """Takes a bid; `awakeable` is where its bidder waits to hear what becomes of it."""
    state = await ctx.get("auction")
    if not state or state["status"] != "open":
        raise TerminalError("the auction is not open", status_code=409)
    highest = state["highest"]
    lowest = highest["amount"] + 1 if highest else state["price"]
    if request["amount"] < lowest:
        raise TerminalError(f"the lowest bid now is {lowest}", status_code=409)

    if highest and highest["awakeable"]:
        ctx.resolve_awakeable(highest["awakeable"], {"outbid": request["amount"]})
    state["highest"] = {
        "bidder": request["bidder"],
        "amount": request["amount"],
        "awakeable": request.get("awakeable"),
    }
    ctx.set("auction", state)
    return state


@auction.handler("close", ingress_private=True)
async def close(ctx: ObjectContext) -> None:
    """Ends the auction and tells its winner. Only the auction itself calls this."""
    state = await ctx.get("auction")
    state["status"] = "closed"
    ctx.set("auction", state)
    highest = state["highest"]
    if highest and highest["awakeable"]:
        ctx.resolve_awakeable(highest["awakeable"], {"won": highest["amount"]})


@auction.handler("read", kind="shared")
async def read(ctx: ObjectSharedContext) -> dict | None:
    """Tells how the auction stands; it never waits for a bid."""
    return await ctx.get("auction")
