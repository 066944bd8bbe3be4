"""Serves the functions on the port of loopback that is the first argument."""

import asyncio
import os
import sys

import hypercorn.asyncio
import restate
from hypercorn.config import Config

from calls import caller, timer
from combine import combiner
from failing import failing, steps
from state import history, lazy_store, store
from waits import blocker, resolver, waiter
from workflows import desk, order

app = restate.app(
    [
        store,
        lazy_store,
        history,
        caller,
        timer,
        waiter,
        blocker,
        resolver,
        combiner,
        failing,
        steps,
        order,
        desk,
    ],
    # Whose requests alone are answered; everybody's without it.
    identity_keys=[key] if (key := os.environ.get("IDENTITY_KEY")) else None,
)

if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    asyncio.run(hypercorn.asyncio.serve(app, config))
