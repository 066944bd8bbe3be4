import dev.restate.sdk.endpoint.Endpoint;
import dev.restate.sdk.http.vertx.RestateHttpServer;
import io.vertx.core.http.HttpServerOptions;

/** Serves the functions on the port of loopback that is the first argument. */
public final class App {
  private App() {}

  public static void main(String[] arguments) {
    Endpoint endpoint =
        Endpoint.builder()
            .bind(new State.Store())
            .bind(new State.LazyStore(), service -> service.enableLazyState(true))
            .bind(new State.History())
            .bind(new Calls.Caller())
            .bind(new Calls.Timer())
            .bind(new Waits.Waiter())
            .bind(new Waits.Blocker())
            .bind(new Waits.Resolver())
            .bind(new Waits.Combiner())
            .bind(new Failures.Failing(), Failures::configure)
            .bind(new Failures.Steps())
            .bind(new Workflows.Order())
            .bind(new Workflows.Desk())
            .build();
    HttpServerOptions options =
        new HttpServerOptions().setHost("127.0.0.1").setPort(Integer.parseInt(arguments[0]));
    RestateHttpServer.fromEndpoint(endpoint, options).listen();
  }
}
