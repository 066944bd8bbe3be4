package main

import (
	"errors"

	restate "github.com/restatedev/sdk-go"
)

// A workflow whose run waits for a promise, and a service that starts it.

type receipt struct {
	Item *string `json:"item"`
	Paid *string `json:"paid"`
}

func runOrder(ctx restate.WorkflowContext, item string) (receipt, error) {
	restate.Set(ctx, "item", item)
	paid, err := restate.Promise[string](ctx, "paid").Result()
	if err != nil {
		return receipt{}, err
	}
	return receipt{Item: &item, Paid: &paid}, nil
}

func pay(ctx restate.WorkflowSharedContext, paid string) (string, error) {
	return "kept", restate.Promise[string](ctx, "paid").Resolve(paid)
}

func refuse(ctx restate.WorkflowSharedContext, reason string) error {
	return restate.Promise[string](ctx, "paid").Reject(errors.New(reason))
}

func look(ctx restate.WorkflowSharedContext, _ restate.Void) (receipt, error) {
	item, err := restate.Get[*string](ctx, "item")
	if err != nil {
		return receipt{}, err
	}
	paid, err := restate.Promise[*string](ctx, "paid").Peek()
	return receipt{Item: item, Paid: paid}, err
}

func waitForPaid(ctx restate.WorkflowSharedContext, _ restate.Void) (string, error) {
	return restate.Promise[string](ctx, "paid").Result()
}

func order() restate.ServiceDefinition {
	return restate.NewWorkflow("Order").
		Handler("run", restate.NewWorkflowHandler(runOrder)).
		Handler("pay", restate.NewWorkflowSharedHandler(pay)).
		Handler("refuse", restate.NewWorkflowSharedHandler(withoutAnswer(refuse))).
		Handler("look", restate.NewWorkflowSharedHandler(look)).
		Handler("wait", restate.NewWorkflowSharedHandler(waitForPaid))
}

type ordered struct {
	Receipt *receipt `json:"receipt"`
	Code    *uint16  `json:"code"`
	Message *string  `json:"message"`
}

func placeOrder(ctx restate.Context, input item) (ordered, error) {
	run := restate.Workflow[receipt](ctx, "Order", input.Key, "run")
	receipt, err := run.Request(input.Item)
	if err != nil {
		code, message := uint16(err.Code()), err.Message()
		return ordered{Code: &code, Message: &message}, nil
	}
	return ordered{Receipt: &receipt}, nil
}

func sendOrder(ctx restate.Context, input item) (string, error) {
	sent := restate.WorkflowSend(ctx, "Order", input.Key, "run").Send(input.Item)
	return sent.GetInvocationId(), nil
}

func desk() restate.ServiceDefinition {
	return restate.NewService("Desk").
		Handler("order", restate.NewServiceHandler(placeOrder)).
		Handler("send", restate.NewServiceHandler(sendOrder))
}
