"""A bidder that goes on bidding up to a limit, for as long as the auction lasts."""

from restate import Context, Service, TerminalError

from auction import bid

bidder = Service("Bidder")


@bidder.handler("compete")
async def compete(ctx: Context, request: dict) -> dict:
    """Bids `amount`, and one more than the others whenever it is outbid, up to `limit`."""
    amount = request["amount"]
    while amount <= request["limit"]:
        # An awakeable is a promise with a name. The auction keeps the name and resolves it;
        # meanwhile this handler waits without holding a process.
        awakeable, news = ctx.awakeable(type_hint=dict)
        try:
            await ctx.object_call(
                bid,
                request["item"],
                {"bidder": request["bidder"], "amount": amount, "awakeable": awakeable},
            )
        except TerminalError as error:
            return {"won": False, "because": error.message}
        event = await news
        if "won" in event:
            return {"won": True, "amount": event["won"]}
        amount = event["outbid"] + 1
    return {"won": False, "because": f"outbid, and the limit is {request['limit']}"}
