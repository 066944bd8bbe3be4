// A shopping cart: one virtual object for each cart, keyed by the user or by the browser session.

import * as restate from "@restatedev/restate-sdk";

export type Item = { product: string; quantity: number };

type State = { items: Record<string, number> };

function checked({ product, quantity }: Item): Item {
  if (typeof product !== "string" || product === "") {
    throw new restate.TerminalError("an item needs a product", { errorCode: 400 });
  }
  if (!Number.isInteger(quantity) || quantity < 1) {
    throw new restate.TerminalError("quantity must be a whole number above zero", {
      errorCode: 400,
    });
  }
  return { product, quantity };
}

function listed(items: Record<string, number>): Item[] {
  return Object.entries(items).map(([product, quantity]) => ({ product, quantity }));
}

// A name and the types of its handlers are all that a call needs: the code may be elsewhere.
const anyCart: restate.VirtualObjectDefinition<"Cart", {
  takeAll(ctx: restate.ObjectContext): Promise<Item[]>;
}> = { name: "Cart" };

export const cart = restate.object({
  name: "Cart",
  handlers: {
    // Exclusive handlers of one cart run one at a time, so that no addition is lost.
    add: async (ctx: restate.ObjectContext<State>, item: Item) => {
      const { product, quantity } = checked(item);
      const items = (await ctx.get("items")) ?? {};
      items[product] = (items[product] ?? 0) + quantity;
      ctx.set("items", items);
      return listed(items);
    },

    remove: async (ctx: restate.ObjectContext<State>, product: string) => {
      const items = (await ctx.get("items")) ?? {};
      delete items[product];
      ctx.set("items", items);
      return listed(items);
    },

    // Hands out everything and leaves the cart empty.
    takeAll: async (ctx: restate.ObjectContext<State>) => {
      const items = (await ctx.get("items")) ?? {};
      ctx.clearAll();
      return listed(items);
    },

    // Called on the user's cart at login: what the browser session collected moves into it.
    // Whatever crashes in between, the items are in exactly one of the two carts afterwards.
    merge: async (ctx: restate.ObjectContext<State>, session: string) => {
      if (session === ctx.key) {
        throw new restate.TerminalError("a cart cannot be merged into itself", { errorCode: 400 });
      }
      const found = await ctx.objectClient(anyCart, session).takeAll();
      const items = (await ctx.get("items")) ?? {};
      for (const { product, quantity } of found) {
        items[product] = (items[product] ?? 0) + quantity;
      }
      ctx.set("items", items);
      return listed(items);
    },

    checkout: async (ctx: restate.ObjectContext<State>) => {
      const items = listed((await ctx.get("items")) ?? {});
      if (items.length === 0) {
        throw new restate.TerminalError("the cart is empty", { errorCode: 409 });
      }
      // The id is the same on every attempt: a payment provider can tell a repeat by it.
      const payment = ctx.rand.uuidv4();
      await ctx.run("charge", () => charge(payment, items));
      ctx.clear("items");
      return { payment, items };
    },

    // Shared handlers run beside the exclusive one: reading never waits for a checkout.
    read: restate.handlers.object.shared(async (ctx: restate.ObjectSharedContext<State>) =>
      listed((await ctx.get("items")) ?? {}),
    ),
  },
});

async function charge(payment: string, items: Item[]) {
  console.log(`charged payment ${payment} for ${items.length} product(s)`);
}
