// Objects with state: scripts of state commands, and a history that shows the order of its calls.

import { createHash } from "node:crypto";
import * as restate from "@restatedev/restate-sdk";

type Step = {
  op: "set" | "get" | "clear" | "clearAll" | "keys" | "sleep";
  name?: string;
  value?: string;
};

async function apply(ctx: restate.ObjectContext, steps: Step[]) {
  const results: (string | string[] | null)[] = [];
  for (const { op, name = "", value } of steps) {
    switch (op) {
      case "set":
        ctx.set(name, value);
        break;
      case "get":
        results.push(await ctx.get<string>(name));
        break;
      case "clear":
        ctx.clear(name);
        break;
      case "clearAll":
        ctx.clearAll();
        break;
      case "keys":
        results.push((await ctx.stateKeys()).sort());
        break;
      case "sleep":
        await ctx.sleep({ milliseconds: 1 });
        break;
    }
  }
  return results;
}

const peek = restate.handlers.object.shared(
  async (ctx: restate.ObjectSharedContext, name: string) => ctx.get<string>(name),
);

export const store = restate.object({
  name: "Store",
  handlers: { apply, peek },
});

export const lazyStore = restate.object({
  name: "LazyStore",
  handlers: { apply, peek },
  options: { enableLazyState: true },
});

export type Place = { position: number; hash: string };

export const history = restate.object({
  name: "History",
  handlers: {
    append: async (ctx: restate.ObjectContext, item: string): Promise<Place> => {
      const entries = (await ctx.get<string[]>("entries")) ?? [];
      const last = (await ctx.get<string>("hash")) ?? "";
      const hash = await ctx.run("hash", () =>
        createHash("sha256").update(last + item).digest("hex"),
      );
      ctx.set("hash", hash);
      ctx.set("entries", [...entries, item]);
      return { position: entries.length, hash };
    },

    read: restate.handlers.object.shared(async (ctx: restate.ObjectSharedContext) => ({
      entries: (await ctx.get<string[]>("entries")) ?? [],
      hash: (await ctx.get<string>("hash")) ?? "",
    })),
  },
});
