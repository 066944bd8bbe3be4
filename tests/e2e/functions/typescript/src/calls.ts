// A service that calls others in every way there is.

import * as restate from "@restatedev/restate-sdk";
import { failing } from "./failing.js";
import { history, type Place, store } from "./state.js";
import { blocker } from "./waits.js";

export const timer = restate.service({
  name: "Timer",
  handlers: {
    nap: async (ctx: restate.Context, millis: number) => {
      const asleep = await ctx.run("asleep", () => Date.now());
      await ctx.sleep({ milliseconds: millis });
      const awake = await ctx.run("awake", () => Date.now());
      return [asleep, awake];
    },

    stamp: async (ctx: restate.Context, key: string) => {
      const now = await ctx.run("now", () => Date.now());
      await ctx
        .objectClient(store, key)
        .apply([{ op: "set", name: "stamped", value: String(now) }]);
    },
  },
});

export const caller = restate.service({
  name: "Caller",
  handlers: {
    append: async (ctx: restate.Context, { key, item }: { key: string; item: string }) =>
      ctx.objectClient(history, key).append(item),

    twice: async (ctx: restate.Context, { key, item }: { key: string; item: string }) => {
      const options = restate.rpc.opts<string, Place>({ idempotencyKey: `twice-${item}` });
      const first = ctx.objectClient(history, key).append(item, options);
      const second = ctx.objectClient(history, key).append(item, options);
      return {
        ids: [await first.invocationId, await second.invocationId],
        answers: await restate.RestatePromise.all([first, second]),
      };
    },

    sendAll: async (ctx: restate.Context, { key, items }: { key: string; items: string[] }) => {
      const sent = items.map((item) => ctx.objectSendClient(history, key).append(item));
      const ids: string[] = [];
      for (const { invocationId } of sent) {
        ids.push(await invocationId);
      }
      return ids;
    },

    stampLater: async (ctx: restate.Context, { key, millis }: { key: string; millis: number }) => {
      const sent = await ctx.run("now", () => Date.now());
      const options = restate.rpc.sendOpts<string>({ delay: { milliseconds: millis } });
      ctx.serviceSendClient(timer).stamp(key, options);
      return sent;
    },

    attach: async (ctx: restate.Context, id: string) =>
      ctx.attach<unknown>(restate.InvocationIdParser.fromString(id)),

    failure: async (ctx: restate.Context) => {
      try {
        await ctx.serviceClient(failing).terminally();
      } catch (error) {
        if (error instanceof restate.TerminalError) {
          return { code: error.code, message: error.message };
        }
        throw error;
      }
      throw new restate.TerminalError("the callee did not fail");
    },

    block: async (ctx: restate.Context, { called, sent }: { called: string; sent: string }) => {
      ctx.objectSendClient(blocker, sent).block();
      await ctx.objectClient(blocker, called).block();
    },
  },
});
