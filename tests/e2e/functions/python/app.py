"""Serves the functions on the port of loopback that is the first argument."""

import asyncio
import sys

import hypercorn.asyncio
import restate
from hypercorn.config import Config

from calls import caller, timer
from failing import failing, steps
from state import history, lazy_store, store
from waits import blocker, resolver, waiter

app = restate.app(
    [store, lazy_store, history, caller, timer, waiter, blocker, resolver, failing, steps]
)

if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    asyncio.run(hypercorn.asyncio.serve(app, config))
