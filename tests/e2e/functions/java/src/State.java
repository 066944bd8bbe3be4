import dev.restate.sdk.ObjectContext;
import dev.restate.sdk.SharedObjectContext;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Name;
import dev.restate.sdk.annotation.Shared;
import dev.restate.sdk.annotation.VirtualObject;
import dev.restate.sdk.common.StateKey;
import dev.restate.serde.TypeRef;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** Objects with state: scripts of state commands, and a history that shows the order of its calls. */
public final class State {
  public record Step(String op, String name, String value) {
    static Step set(String name, String value) {
      return new Step("set", name, value);
    }
  }

  public record Place(int position, String hash) {}

  public record Entries(List<String> entries, String hash) {}

  private static final StateKey<List<String>> ENTRIES =
      StateKey.of("entries", new TypeRef<List<String>>() {});
  private static final StateKey<String> HASH = StateKey.of("hash", String.class);

  private State() {}

  private static StateKey<String> text(String name) {
    return StateKey.of(name, String.class);
  }

  private static List<Object> runScript(ObjectContext ctx, List<Step> steps) {
    List<Object> results = new ArrayList<>();
    for (Step step : steps) {
      switch (step.op()) {
        case "set" -> ctx.set(text(step.name()), step.value());
        case "get" -> results.add(ctx.get(text(step.name())).orElse(null));
        case "clear" -> ctx.clear(text(step.name()));
        case "clearAll" -> ctx.clearAll();
        case "keys" -> results.add(ctx.stateKeys().stream().sorted().toList());
        case "sleep" -> ctx.sleep(Duration.ofMillis(1));
        default -> throw new IllegalArgumentException("unknown step " + step);
      }
    }
    return results;
  }

  @VirtualObject
  @Name("Store")
  public static class Store {
    @Handler
    public List<Object> apply(ObjectContext ctx, List<Step> steps) {
      return runScript(ctx, steps);
    }

    @Shared
    public String peek(SharedObjectContext ctx, String name) {
      return ctx.get(text(name)).orElse(null);
    }
  }

  @VirtualObject
  @Name("LazyStore")
  public static class LazyStore {
    @Handler
    public List<Object> apply(ObjectContext ctx, List<Step> steps) {
      return runScript(ctx, steps);
    }

    @Shared
    public String peek(SharedObjectContext ctx, String name) {
      return ctx.get(text(name)).orElse(null);
    }
  }

  @VirtualObject
  @Name("History")
  public static class History {
    @Handler
    public Place append(ObjectContext ctx, String item) {
      List<String> entries = new ArrayList<>(ctx.get(ENTRIES).orElse(List.of()));
      String last = ctx.get(HASH).orElse("");
      String hash = ctx.run("hash", String.class, () -> sha256(last + item));
      Place place = new Place(entries.size(), hash);
      entries.add(item);
      ctx.set(HASH, hash);
      ctx.set(ENTRIES, entries);
      return place;
    }

    @Shared
    public Entries read(SharedObjectContext ctx) {
      return new Entries(ctx.get(ENTRIES).orElse(List.of()), ctx.get(HASH).orElse(""));
    }

    private static String sha256(String text) throws Exception {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      return HexFormat.of().formatHex(digest.digest(text.getBytes(StandardCharsets.UTF_8)));
    }
  }
}
