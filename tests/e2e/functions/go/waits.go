package main

import (
	"errors"

	restate "github.com/restatedev/sdk-go"
)

// Handlers that wait for somebody else, and those who end the wait.

func note(ctx restate.ObjectContext, steps ...step) {
	restate.ObjectSend(ctx, "Store", restate.Key(ctx), "apply").Send(steps)
}

func waitForAwakeable(ctx restate.ObjectContext, _ restate.Void) (string, error) {
	awakeable := restate.Awakeable[string](ctx)
	note(ctx, set("awakeable", awakeable.Id()))
	return awakeable.Result()
}

func waitForSignal(ctx restate.ObjectContext, name string) (string, error) {
	note(ctx, set("invocation", ctx.Request().ID))
	return restate.Signal[string](ctx, name).Result()
}

func waiter() restate.ServiceDefinition {
	return restate.NewObject("Waiter").
		Handler("awakeable", restate.NewObjectHandler(waitForAwakeable)).
		Handler("signal", restate.NewObjectHandler(waitForSignal))
}

func block(ctx restate.ObjectContext, _ restate.Void) (restate.Void, error) {
	note(ctx, set("blocked", ctx.Request().ID))
	nothing, err := restate.Awakeable[restate.Void](ctx).Result()
	if err != nil {
		restate.ObjectSend(ctx, "History", restate.Key(ctx), "append").Send(err.Message())
	}
	return nothing, err
}

func blocker() restate.ServiceDefinition {
	free := func(restate.ObjectContext, restate.Void) (string, error) { return "free", nil }
	look := func(restate.ObjectSharedContext, restate.Void) (string, error) { return "here", nil }
	return restate.NewObject("Blocker").
		Handler("block", restate.NewObjectHandler(block)).
		Handler("free", restate.NewObjectHandler(free)).
		Handler("look", restate.NewObjectSharedHandler(look))
}

type completion struct {
	ID    string `json:"id"`
	Value string `json:"value"`
}

type signal struct {
	Invocation string `json:"invocation"`
	Name       string `json:"name"`
	Value      string `json:"value"`
}

func resolve(ctx restate.Context, with completion) error {
	restate.ResolveAwakeable(ctx, with.ID, with.Value)
	return nil
}

func reject(ctx restate.Context, with completion) error {
	restate.RejectAwakeable(ctx, with.ID, errors.New(with.Value))
	return nil
}

func resolveSignal(ctx restate.Context, with signal) error {
	restate.ResolveSignal(ctx, with.Invocation, with.Name, with.Value)
	return nil
}

func rejectSignal(ctx restate.Context, with signal) error {
	restate.RejectSignal(ctx, with.Invocation, with.Name, errors.New(with.Value))
	return nil
}

func cancel(ctx restate.Context, invocation string) error {
	restate.CancelInvocation(ctx, invocation)
	return nil
}

func resolver() restate.ServiceDefinition {
	return restate.NewService("Resolver").
		Handler("resolve", restate.NewServiceHandler(withoutAnswer(resolve))).
		Handler("reject", restate.NewServiceHandler(withoutAnswer(reject))).
		Handler("signal", restate.NewServiceHandler(withoutAnswer(resolveSignal))).
		Handler("rejectSignal", restate.NewServiceHandler(withoutAnswer(rejectSignal))).
		Handler("cancel", restate.NewServiceHandler(withoutAnswer(cancel)))
}
