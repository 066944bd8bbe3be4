import dev.restate.sdk.Context;
import dev.restate.sdk.SharedWorkflowContext;
import dev.restate.sdk.WorkflowContext;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Name;
import dev.restate.sdk.annotation.Service;
import dev.restate.sdk.annotation.Shared;
import dev.restate.sdk.annotation.Workflow;
import dev.restate.sdk.common.DurablePromiseKey;
import dev.restate.sdk.common.StateKey;
import dev.restate.sdk.common.TerminalException;

/** A workflow whose run waits for a promise, and a service that starts it. */
public final class Workflows {
  public record Receipt(String item, String paid) {}

  public record Ordered(Receipt receipt, Integer code, String message) {}

  private static final StateKey<String> ITEM = StateKey.of("item", String.class);
  private static final DurablePromiseKey<String> PAID = DurablePromiseKey.of("paid", String.class);

  private Workflows() {}

  @Workflow
  @Name("Order")
  public static class Order {
    @Workflow
    public Receipt run(WorkflowContext ctx, String item) {
      ctx.set(ITEM, item);
      return new Receipt(item, ctx.promise(PAID).future().await());
    }

    @Shared
    public String pay(SharedWorkflowContext ctx, String paid) {
      ctx.promiseHandle(PAID).resolve(paid);
      return "kept";
    }

    @Shared
    public void refuse(SharedWorkflowContext ctx, String reason) {
      ctx.promiseHandle(PAID).reject(reason);
    }

    @Shared
    public Receipt look(SharedWorkflowContext ctx) {
      return new Receipt(ctx.get(ITEM).orElse(null), ctx.promise(PAID).peek().orElse(null));
    }

    @Shared
    @Name("wait")
    public String waitFor(SharedWorkflowContext ctx) {
      return ctx.promise(PAID).future().await();
    }
  }

  @Service
  @Name("Desk")
  public static class Desk {
    @Handler
    public Ordered order(Context ctx, Calls.Item item) {
      try {
        Receipt receipt = WorkflowsOrderClient.fromContext(ctx, item.key()).run(item.item()).await();
        return new Ordered(receipt, null, null);
      } catch (TerminalException error) {
        return new Ordered(null, error.getCode(), error.getMessage());
      }
    }

    @Handler
    public String send(Context ctx, Calls.Item item) {
      return WorkflowsOrderClient.fromContext(ctx, item.key())
          .send()
          .run(item.item())
          .invocationId();
    }
  }
}
