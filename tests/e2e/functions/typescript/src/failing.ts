// Handlers that fail, for good or for a while, and steps that must not run twice.

import { randomUUID } from "node:crypto";
import * as restate from "@restatedev/restate-sdk";

const tries = new Map<string, number>();
const allowed = new Set<string>();
const wandered = new Map<string, number>();

export const failing = restate.service({
  name: "Failing",
  handlers: {
    terminally: async (_ctx: restate.Context) => {
      throw new restate.TerminalError("the card was declined", { errorCode: 422 });
    },

    terminalStep: async (ctx: restate.Context) => {
      await ctx.run("charge", () => {
        throw new restate.TerminalError("the card was declined", { errorCode: 422 });
      });
    },

    twice: restate.handlers.handler(
      { retryPolicy: { initialInterval: 10 } },
      async (ctx: restate.Context) => {
        const { id } = ctx.request();
        const count = (tries.get(id) ?? 0) + 1;
        tries.set(id, count);
        if (count < 3) {
          throw new Error("not yet");
        }
        return count;
      },
    ),

    pauses: restate.handlers.handler(
      { retryPolicy: { initialInterval: 10, maxAttempts: 2, onMaxAttempts: "pause" } },
      async (_ctx: restate.Context, name: string) => {
        if (!allowed.has(name)) {
          throw new Error(`${name} is not allowed yet`);
        }
        return name;
      },
    ),

    // Takes the same step whenever it is asked, but for once.
    wanders: restate.handlers.handler(
      { retryPolicy: { initialInterval: 10, maxAttempts: 2, onMaxAttempts: "pause" } },
      async (ctx: restate.Context) => {
        const { id } = ctx.request();
        const before = wandered.get(id) ?? 0;
        if (before === 1) {
          wandered.set(id, 2);
          await ctx.sleep(1);
        }
        const packed = await ctx.run("pack", () => "packed");
        if (before === 0) {
          wandered.set(id, 1);
          throw new Error("lost");
        }
        return packed;
      },
    ),

    allow: async (_ctx: restate.Context, name: string) => {
      allowed.add(name);
    },

    dies: restate.handlers.handler(
      { retryPolicy: { initialInterval: 10, maxAttempts: 2, onMaxAttempts: "kill" } },
      async (_ctx: restate.Context) => {
        throw new Error("never");
      },
    ),
  },
});

export const steps = restate.service({
  name: "Steps",
  handlers: {
    run: async (ctx: restate.Context, count: number) => {
      const tokens: string[] = [];
      for (let step = 0; step < count; step += 1) {
        tokens.push(await ctx.run(`step ${step}`, () => randomUUID()));
      }
      return tokens;
    },
  },
});
