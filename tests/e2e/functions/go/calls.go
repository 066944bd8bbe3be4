package main

import (
	"encoding/json"
	"fmt"
	"time"

	restate "github.com/restatedev/sdk-go"
)

// A service that calls others in every way there is.

func now(ctx restate.Context, name string) (int64, error) {
	return restate.Run(ctx, func(restate.RunContext) (int64, error) {
		return time.Now().UnixMilli(), nil
	}, restate.WithName(name))
}

func millis(count int64) time.Duration {
	return time.Duration(count) * time.Millisecond
}

func nap(ctx restate.Context, count int64) ([]int64, error) {
	asleep, err := now(ctx, "asleep")
	if err != nil {
		return nil, err
	}
	if err := restate.Sleep(ctx, millis(count)); err != nil {
		return nil, err
	}
	awake, err := now(ctx, "awake")
	if err != nil {
		return nil, err
	}
	return []int64{asleep, awake}, nil
}

func stamp(ctx restate.Context, key string) error {
	stamped, err := now(ctx, "now")
	if err != nil {
		return err
	}
	steps := []step{set("stamped", fmt.Sprint(stamped))}
	_, err = restate.Object[[]any](ctx, "Store", key, "apply").Request(steps)
	return err
}

func timer() restate.ServiceDefinition {
	return restate.NewService("Timer").
		Handler("nap", restate.NewServiceHandler(nap)).
		Handler("stamp", restate.NewServiceHandler(withoutAnswer(stamp)))
}

// withoutAnswer makes a handler of one that has nothing to answer.
func withoutAnswer[C, I any](handler func(C, I) error) func(C, I) (restate.Void, error) {
	return func(ctx C, input I) (restate.Void, error) {
		return restate.Void{}, handler(ctx, input)
	}
}

type item struct {
	Key  string `json:"key"`
	Item string `json:"item"`
}

type twiceAnswer struct {
	IDs     []string `json:"ids"`
	Answers []place  `json:"answers"`
}

type items struct {
	Key   string   `json:"key"`
	Items []string `json:"items"`
}

type later struct {
	Key    string `json:"key"`
	Millis int64  `json:"millis"`
}

type failure struct {
	Code    uint16 `json:"code"`
	Message string `json:"message"`
}

type blocked struct {
	Called string `json:"called"`
	Sent   string `json:"sent"`
}

func callAppend(ctx restate.Context, input item) (place, error) {
	return restate.Object[place](ctx, "History", input.Key, "append").Request(input.Item)
}

func callTwice(ctx restate.Context, input item) (twiceAnswer, error) {
	history := restate.Object[place](ctx, "History", input.Key, "append")
	once := restate.WithIdempotencyKey("twice-" + input.Item)
	first := history.RequestFuture(input.Item, once)
	second := history.RequestFuture(input.Item, once)
	answer := twiceAnswer{IDs: []string{first.GetInvocationId(), second.GetInvocationId()}}
	for _, call := range []restate.ResponseFuture[place]{first, second} {
		place, err := call.Response()
		if err != nil {
			return twiceAnswer{}, err
		}
		answer.Answers = append(answer.Answers, place)
	}
	return answer, nil
}

func sendAll(ctx restate.Context, input items) ([]string, error) {
	var sent []restate.Invocation
	for _, item := range input.Items {
		sent = append(sent, restate.ObjectSend(ctx, "History", input.Key, "append").Send(item))
	}
	var ids []string
	for _, invocation := range sent {
		ids = append(ids, invocation.GetInvocationId())
	}
	return ids, nil
}

func stampLater(ctx restate.Context, input later) (int64, error) {
	sent, err := now(ctx, "now")
	if err != nil {
		return 0, err
	}
	delay := restate.WithDelay(millis(input.Millis))
	restate.ServiceSend(ctx, "Timer", "stamp").Send(input.Key, delay)
	return sent, nil
}

func attach(ctx restate.Context, id string) (json.RawMessage, error) {
	return restate.AttachInvocation[json.RawMessage](ctx, id).Response()
}

func callFailing(ctx restate.Context, _ restate.Void) (failure, error) {
	_, err := restate.Service[restate.Void](ctx, "Failing", "terminally").Request(restate.Void{})
	if err == nil {
		return failure{}, restate.TerminalErrorf("the callee did not fail")
	}
	return failure{Code: uint16(err.Code()), Message: err.Message()}, nil
}

func callBlocker(ctx restate.Context, input blocked) error {
	restate.ObjectSend(ctx, "Blocker", input.Sent, "block").Send(restate.Void{})
	called := restate.Object[restate.Void](ctx, "Blocker", input.Called, "block")
	_, err := called.Request(restate.Void{})
	return err
}

func caller() restate.ServiceDefinition {
	return restate.NewService("Caller").
		Handler("append", restate.NewServiceHandler(callAppend)).
		Handler("twice", restate.NewServiceHandler(callTwice)).
		Handler("sendAll", restate.NewServiceHandler(sendAll)).
		Handler("stampLater", restate.NewServiceHandler(stampLater)).
		Handler("attach", restate.NewServiceHandler(attach)).
		Handler("failure", restate.NewServiceHandler(callFailing)).
		Handler("block", restate.NewServiceHandler(withoutAnswer(callBlocker)))
}
