import dev.restate.sdk.Context;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Name;
import dev.restate.sdk.annotation.Service;
import dev.restate.sdk.common.TerminalException;
import dev.restate.sdk.endpoint.definition.InvocationRetryPolicy;
import dev.restate.sdk.endpoint.definition.InvocationRetryPolicy.OnMaxAttempts;
import dev.restate.sdk.endpoint.definition.ServiceDefinition;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;

/** Handlers that fail, for good or for a while, and steps that must not run twice. */
public final class Failures {
  private static final Map<String, Integer> TRIES = new ConcurrentHashMap<>();
  private static final Map<String, Integer> WANDERED = new ConcurrentHashMap<>();
  private static final Set<String> ALLOWED = ConcurrentHashMap.newKeySet();

  private Failures() {}

  private static TerminalException declined() {
    return new TerminalException(422, "the card was declined");
  }

  private static InvocationRetryPolicy.Builder soon() {
    return InvocationRetryPolicy.builder().initialInterval(Duration.ofMillis(10));
  }

  /** Says how often each handler of `Failing` is tried. */
  static void configure(ServiceDefinition.Configurator failing) {
    failing
        .configureHandler("twice", handler -> handler.invocationRetryPolicy(soon()))
        .configureHandler(
            "pauses",
            handler ->
                handler.invocationRetryPolicy(
                    soon().maxAttempts(2).onMaxAttempts(OnMaxAttempts.PAUSE)))
        .configureHandler(
            "wanders",
            handler ->
                handler.invocationRetryPolicy(
                    soon().maxAttempts(2).onMaxAttempts(OnMaxAttempts.PAUSE)))
        .configureHandler(
            "dies",
            handler ->
                handler.invocationRetryPolicy(
                    soon().maxAttempts(2).onMaxAttempts(OnMaxAttempts.KILL)));
  }

  @Service
  @Name("Failing")
  public static class Failing {
    @Handler
    public void terminally(Context ctx) {
      throw declined();
    }

    @Handler
    public void terminalStep(Context ctx) {
      ctx.run(
          "charge",
          () -> {
            throw declined();
          });
    }

    @Handler
    public int twice(Context ctx) {
      int tries = TRIES.merge(ctx.request().invocationId().toString(), 1, Integer::sum);
      if (tries < 3) {
        throw new IllegalStateException("not yet");
      }
      return tries;
    }

    @Handler
    public String pauses(Context ctx, String name) {
      if (!ALLOWED.contains(name)) {
        throw new IllegalStateException(name + " is not allowed yet");
      }
      return name;
    }

    /** Takes the same step whenever it is asked, but for once. */
    @Handler
    public String wanders(Context ctx) {
      String id = ctx.request().invocationId().toString();
      if (WANDERED.replace(id, 1, 2)) {
        ctx.sleep(Duration.ofMillis(1));
      }
      String packed = ctx.run("pack", String.class, () -> "packed");
      if (WANDERED.putIfAbsent(id, 1) == null) {
        throw new IllegalStateException("lost");
      }
      return packed;
    }

    @Handler
    public void allow(Context ctx, String name) {
      ALLOWED.add(name);
    }

    @Handler
    public void dies(Context ctx) {
      throw new IllegalStateException("never");
    }
  }

  @Service
  @Name("Steps")
  public static class Steps {
    @Handler
    public List<String> run(Context ctx, int count) {
      List<String> tokens = new ArrayList<>();
      for (int step = 0; step < count; step++) {
        tokens.add(ctx.run("step " + step, String.class, () -> UUID.randomUUID().toString()));
      }
      return tokens;
    }
  }
}
