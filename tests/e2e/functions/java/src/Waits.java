import dev.restate.sdk.Awakeable;
import dev.restate.sdk.Context;
import dev.restate.sdk.DurableFuture;
import dev.restate.sdk.ObjectContext;
import dev.restate.sdk.SharedObjectContext;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Name;
import dev.restate.sdk.annotation.Service;
import dev.restate.sdk.annotation.Shared;
import dev.restate.sdk.annotation.VirtualObject;
import dev.restate.sdk.common.TerminalException;
import java.time.Duration;
import java.util.List;

/** Handlers that wait for somebody else, and those who end the wait. */
public final class Waits {
  public record Completion(String id, String value) {}

  private Waits() {}

  private static void note(ObjectContext ctx, State.Step... steps) {
    StateStoreClient.fromContext(ctx, ctx.key()).send().apply(List.of(steps));
  }

  @VirtualObject
  @Name("Waiter")
  public static class Waiter {
    @Handler
    public String awakeable(ObjectContext ctx) {
      Awakeable<String> awakeable = ctx.awakeable(String.class);
      note(ctx, State.Step.set("awakeable", awakeable.id()));
      return awakeable.await();
    }
  }

  @VirtualObject
  @Name("Blocker")
  public static class Blocker {
    @Handler
    public void block(ObjectContext ctx) {
      note(ctx, State.Step.set("blocked", ctx.request().invocationId().toString()));
      try {
        ctx.awakeable(String.class).await();
      } catch (TerminalException error) {
        StateHistoryClient.fromContext(ctx, ctx.key()).send().append(error.getMessage());
        throw error;
      }
    }

    @Handler
    public String free(ObjectContext ctx) {
      return "free";
    }

    @Shared
    public String look(SharedObjectContext ctx) {
      return "here";
    }
  }

  @Service
  @Name("Resolver")
  public static class Resolver {
    @Handler
    public void resolve(Context ctx, Completion with) {
      ctx.awakeableHandle(with.id()).resolve(String.class, with.value());
    }

    @Handler
    public void reject(Context ctx, Completion with) {
      ctx.awakeableHandle(with.id()).reject(with.value());
    }

    @Handler
    public void cancel(Context ctx, String invocation) {
      ctx.invocationHandle(invocation).cancel();
    }
  }

  /** Waits for several things at once. */
  @VirtualObject
  @Name("Combiner")
  public static class Combiner {
    private record Two(Awakeable<String> first, Awakeable<String> second) {
      static Two begin(ObjectContext ctx) {
        Two two = new Two(ctx.awakeable(String.class), ctx.awakeable(String.class));
        note(
            ctx,
            State.Step.set("first", two.first.id()),
            State.Step.set("second", two.second.id()));
        return two;
      }
    }

    @Handler
    public String all(ObjectContext ctx) {
      Two two = Two.begin(ctx);
      DurableFuture<List<Long>> naps = CallsTimerClient.fromContext(ctx).nap(1);
      DurableFuture<Void> sleeps = ctx.timer(Duration.ofMillis(1));
      DurableFuture<String> ran = ctx.runAsync("ran", String.class, () -> "ran");
      try {
        DurableFuture.all(two.first, two.second, naps, sleeps, ran).await();
      } catch (TerminalException error) {
        return "failed: " + error.getMessage();
      }
      return two.first.await() + ", " + two.second.await() + ", " + ran.await();
    }

    @Handler
    public String any(ObjectContext ctx) {
      Two two = Two.begin(ctx);
      int first = DurableFuture.any(two.first, two.second).await();
      List<Awakeable<String>> inOrder =
          first == 0 ? List.of(two.first, two.second) : List.of(two.second, two.first);
      for (Awakeable<String> awakeable : inOrder) {
        try {
          return awakeable.await();
        } catch (TerminalException error) {
          // Then the other.
        }
      }
      return "all failed";
    }

    @Handler
    public String race(ObjectContext ctx) {
      Two two = Two.begin(ctx);
      DurableFuture<Void> late = ctx.timer(Duration.ofHours(1));
      try {
        return switch (DurableFuture.any(two.first, two.second, late).await()) {
          case 0 -> two.first.await();
          case 1 -> two.second.await();
          default -> "late";
        };
      } catch (TerminalException error) {
        return "failed: " + error.getMessage();
      }
    }

    @Handler
    public String settled(ObjectContext ctx) {
      Two two = Two.begin(ctx);
      DurableFuture<List<Long>> naps = CallsTimerClient.fromContext(ctx).nap(1);
      DurableFuture<String> first = outcome(two.first);
      DurableFuture<String> second = outcome(two.second);
      DurableFuture.all(first, second, naps).await();
      return first.await() + ", " + second.await();
    }

    private static DurableFuture<String> outcome(DurableFuture<String> future) {
      return future.mapFailure(error -> "failed: " + error.getMessage());
    }

    /** The first of two waits that each need both of something. */
    @Handler
    public String nested(ObjectContext ctx) {
      Two two = Two.begin(ctx);
      DurableFuture<Void> late = ctx.timer(Duration.ofHours(1));
      DurableFuture<Void> both = DurableFuture.all(two.first, two.second);
      DurableFuture<Void> never = DurableFuture.all(two.first, late);
      return DurableFuture.any(both, never).await() == 0
          ? two.first.await() + ", " + two.second.await()
          : "late";
    }
  }
}
