// A workflow whose run waits for a promise, and a service that starts it.

import * as restate from "@restatedev/restate-sdk";

export const order = restate.workflow({
  name: "Order",
  handlers: {
    run: async (ctx: restate.WorkflowContext, item: string) => {
      ctx.set("item", item);
      const paid = await ctx.promise<string>("paid");
      return { item, paid };
    },

    pay: async (ctx: restate.WorkflowSharedContext, paid: string) => {
      await ctx.promise<string>("paid").resolve(paid);
      return "kept";
    },

    refuse: async (ctx: restate.WorkflowSharedContext, reason: string) =>
      ctx.promise<string>("paid").reject(reason),

    look: async (ctx: restate.WorkflowSharedContext) => ({
      item: await ctx.get<string>("item"),
      paid: (await ctx.promise<string>("paid").peek()) ?? null,
    }),

    wait: async (ctx: restate.WorkflowSharedContext) => ctx.promise<string>("paid"),
  },
});

type Ordered = { key: string; item: string };

export const desk = restate.service({
  name: "Desk",
  handlers: {
    order: async (ctx: restate.Context, { key, item }: Ordered) => {
      try {
        const receipt = await ctx.workflowClient(order, key).run(item);
        return { receipt, code: null, message: null };
      } catch (error) {
        if (error instanceof restate.TerminalError) {
          return { receipt: null, code: error.code, message: error.message };
        }
        throw error;
      }
    },

    send: async (ctx: restate.Context, { key, item }: Ordered) =>
      (await ctx.workflowSendClient(order, key).run(item)).invocationId,
  },
});
