import dev.restate.sdk.CallDurableFuture;
import dev.restate.sdk.Context;
import dev.restate.sdk.InvocationHandle;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Name;
import dev.restate.sdk.annotation.Service;
import dev.restate.sdk.common.TerminalException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** A service that calls others in every way there is. */
public final class Calls {
  public record Item(String key, String item) {}

  public record Items(String key, List<String> items) {}

  public record Twice(List<String> ids, List<State.Place> answers) {}

  public record Later(String key, long millis) {}

  public record Failure(int code, String message) {}

  public record Blocked(String called, String sent) {}

  private Calls() {}

  @Service
  @Name("Timer")
  public static class Timer {
    @Handler
    public List<Long> nap(Context ctx, long millis) {
      long asleep = ctx.run("asleep", Long.class, System::currentTimeMillis);
      ctx.sleep(Duration.ofMillis(millis));
      long awake = ctx.run("awake", Long.class, System::currentTimeMillis);
      return List.of(asleep, awake);
    }

    @Handler
    public void stamp(Context ctx, String key) {
      long now = ctx.run("now", Long.class, System::currentTimeMillis);
      List<State.Step> steps = List.of(State.Step.set("stamped", Long.toString(now)));
      StateStoreClient.fromContext(ctx, key).apply(steps).await();
    }
  }

  @Service
  @Name("Caller")
  public static class Caller {
    @Handler
    public State.Place append(Context ctx, Item item) {
      return StateHistoryClient.fromContext(ctx, item.key()).append(item.item()).await();
    }

    @Handler
    public Twice twice(Context ctx, Item item) {
      StateHistoryClient.ContextClient history =
          StateHistoryClient.fromContext(ctx, item.key());
      List<CallDurableFuture<State.Place>> calls = new ArrayList<>();
      for (int call = 0; call < 2; call++) {
        calls.add(
            history.append(item.item(), request -> request.idempotencyKey("twice-" + item.item())));
      }
      return new Twice(
          calls.stream().map(CallDurableFuture::invocationId).toList(),
          calls.stream().map(CallDurableFuture::await).toList());
    }

    @Handler
    public List<String> sendAll(Context ctx, Items items) {
      StateHistoryClient.ContextClient history =
          StateHistoryClient.fromContext(ctx, items.key());
      List<InvocationHandle<State.Place>> sent = new ArrayList<>();
      for (String item : items.items()) {
        sent.add(history.send().append(item));
      }
      return sent.stream().map(InvocationHandle::invocationId).toList();
    }

    @Handler
    public long stampLater(Context ctx, Later later) {
      long sent = ctx.run("now", Long.class, System::currentTimeMillis);
      CallsTimerClient.fromContext(ctx)
          .send()
          .stamp(later.key(), Duration.ofMillis(later.millis()));
      return sent;
    }

    @Handler
    public Object attach(Context ctx, String id) {
      return ctx.invocationHandle(id, Object.class).attach().await();
    }

    @Handler
    public Failure failure(Context ctx) {
      try {
        FailuresFailingClient.fromContext(ctx).terminally().await();
      } catch (TerminalException error) {
        return new Failure(error.getCode(), error.getMessage());
      }
      throw new TerminalException("the callee did not fail");
    }

    @Handler
    public void block(Context ctx, Blocked blocked) {
      WaitsBlockerClient.fromContext(ctx, blocked.sent()).send().block();
      WaitsBlockerClient.fromContext(ctx, blocked.called()).block().await();
    }
  }
}
