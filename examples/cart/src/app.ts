import { createServer } from "node:http2";
import * as restate from "@restatedev/restate-sdk";
import { cart } from "./cart.js";

if (Number(process.versions.node.split(".")[0]) < 22) {
  console.error(
    `The Restate SDK needs Node.js 22 or newer, and this is ${process.version}. ` +
      `On Linux x64 "npm install" brings a newer one along: run "npm install", then "npm start".`,
  );
  process.exit(1);
}

// On this machine only: nothing here checks who calls.
const port = Number(process.env.PORT ?? 9080);
createServer(restate.createEndpointHandler({ services: [cart] })).listen(port, "127.0.0.1", () =>
  console.log(`Cart listens on http://127.0.0.1:${port}`),
);
