// Serves the functions on the port of loopback that is the first argument.

import { createServer } from "node:http2";
import * as restate from "@restatedev/restate-sdk";
import { caller, timer } from "./calls.js";
import { combiner } from "./combine.js";
import { failing, steps } from "./failing.js";
import { history, lazyStore, store } from "./state.js";
import { blocker, resolver, waiter } from "./waits.js";
import { desk, order } from "./workflows.js";

const services = [
  store,
  lazyStore,
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
];

// Whose requests alone are answered; everybody's without it.
const key = process.env.IDENTITY_KEY;
const identityKeys = key ? [key] : undefined;

createServer(restate.createEndpointHandler({ services, identityKeys })).listen(
  Number(process.argv[2]),
  "127.0.0.1",
);
