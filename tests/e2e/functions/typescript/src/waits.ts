// Handlers that wait for somebody else, and those who end the wait.

import * as restate from "@restatedev/restate-sdk";
import { history, store } from "./state.js";

function note(ctx: restate.ObjectContext, name: string, value: string) {
  ctx.objectSendClient(store, ctx.key).apply([{ op: "set", name, value }]);
}

export const waiter = restate.object({
  name: "Waiter",
  handlers: {
    awakeable: async (ctx: restate.ObjectContext) => {
      const { id, promise } = ctx.awakeable<string>();
      note(ctx, "awakeable", id);
      return promise;
    },

    signal: async (ctx: restate.ObjectContext, name: string) => {
      note(ctx, "invocation", ctx.request().id);
      return ctx.signal<string>(name);
    },
  },
});

export const blocker = restate.object({
  name: "Blocker",
  handlers: {
    block: async (ctx: restate.ObjectContext) => {
      note(ctx, "blocked", ctx.request().id);
      try {
        await ctx.awakeable().promise;
      } catch (error) {
        if (error instanceof restate.TerminalError) {
          ctx.objectSendClient(history, ctx.key).append(error.message);
        }
        throw error;
      }
    },

    free: async () => "free",

    look: restate.handlers.object.shared(async () => "here"),
  },
});

type Signal = { invocation: string; name: string; value: string };

const parse = restate.InvocationIdParser.fromString;

export const resolver = restate.service({
  name: "Resolver",
  handlers: {
    resolve: async (ctx: restate.Context, { id, value }: { id: string; value: string }) =>
      ctx.resolveAwakeable(id, value),

    reject: async (ctx: restate.Context, { id, value }: { id: string; value: string }) =>
      ctx.rejectAwakeable(id, value),

    signal: async (ctx: restate.Context, { invocation, name, value }: Signal) =>
      ctx.invocation(parse(invocation)).signal<string>(name).resolve(value),

    rejectSignal: async (ctx: restate.Context, { invocation, name, value }: Signal) =>
      ctx.invocation(parse(invocation)).signal<string>(name).reject(value),

    cancel: async (ctx: restate.Context, invocation: string) => ctx.cancel(parse(invocation)),
  },
});
