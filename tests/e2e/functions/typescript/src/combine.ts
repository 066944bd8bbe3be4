// Handlers that wait for several things at once, each in its own way.

import * as restate from "@restatedev/restate-sdk";
import { timer } from "./calls.js";
import { store } from "./state.js";

const HOUR = 3_600_000;

// Makes two awakeables, and notes their ids in `Store` as `first` and `second`.
function two(ctx: restate.ObjectContext) {
  const [first, second] = [ctx.awakeable<string>(), ctx.awakeable<string>()];
  ctx.objectSendClient(store, ctx.key).apply([
    { op: "set", name: "first", value: first.id },
    { op: "set", name: "second", value: second.id },
  ]);
  return [first.promise, second.promise] as const;
}

function failure(error: unknown) {
  if (error instanceof restate.TerminalError) {
    return `failed: ${error.message}`;
  }
  throw error;
}

export const combiner = restate.object({
  name: "Combiner",
  handlers: {
    all: async (ctx: restate.ObjectContext) => {
      const [first, second] = two(ctx);
      const naps = ctx.serviceClient(timer).nap(1);
      const ran = ctx.run("ran", () => "ran");
      try {
        const all = await restate.RestatePromise.all([first, second, naps, ctx.sleep(1), ran]);
        return `${all[0]}, ${all[1]}, ${all[4]}`;
      } catch (error) {
        return failure(error);
      }
    },

    any: async (ctx: restate.ObjectContext) => {
      const [first, second] = two(ctx);
      try {
        return await restate.RestatePromise.any([first, second]);
      } catch (error) {
        if (error instanceof AggregateError || error instanceof restate.TerminalError) {
          return "all failed";
        }
        throw error;
      }
    },

    race: async (ctx: restate.ObjectContext) => {
      const [first, second] = two(ctx);
      const late = ctx.sleep(HOUR).map(() => "late");
      try {
        return await restate.RestatePromise.race([first, second, late]);
      } catch (error) {
        return failure(error);
      }
    },

    settled: async (ctx: restate.ObjectContext) => {
      const [first, second] = two(ctx);
      const naps = ctx.serviceClient(timer).nap(1);
      const all = await restate.RestatePromise.allSettled([first, second, naps]);
      return all
        .slice(0, 2)
        .map((one) => (one.status === "fulfilled" ? one.value : failure(one.reason)))
        .join(", ");
    },

    // The first of two waits that each need both of something.
    nested: async (ctx: restate.ObjectContext) => {
      const [first, second] = two(ctx);
      const late = ctx.sleep(HOUR);
      const both = restate.RestatePromise.all([first, second]);
      const never = restate.RestatePromise.all([first, late]);
      const won = await restate.RestatePromise.race([both, never]);
      return `${won[0]}, ${won[1]}`;
    },
  },
});
