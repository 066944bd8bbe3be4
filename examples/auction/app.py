"""The HTTP endpoint: an ASGI application for hypercorn."""

import restate

from auction import auction
from bidder import bidder

app = restate.app([auction, bidder])
