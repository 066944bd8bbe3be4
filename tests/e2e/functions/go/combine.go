package main

import (
	"fmt"
	"time"

	restate "github.com/restatedev/sdk-go"
)

// Handlers that wait for several things at once, each in its own way.

type awakeable = restate.AwakeableFuture[string]

// two makes two awakeables, and notes their ids in Store as first and second.
func two(ctx restate.ObjectContext) (awakeable, awakeable) {
	first, second := restate.Awakeable[string](ctx), restate.Awakeable[string](ctx)
	note(ctx, set("first", first.Id()), set("second", second.Id()))
	return first, second
}

func startNap(ctx restate.Context) restate.ResponseFuture[[]int64] {
	return restate.Service[[]int64](ctx, "Timer", "nap").RequestFuture(1)
}

func failed(err restate.TerminalError) string {
	return "failed: " + err.Message()
}

func waitForAll(ctx restate.ObjectContext, _ restate.Void) (string, error) {
	first, second := two(ctx)
	naps, asleep := startNap(ctx), restate.After(ctx, time.Millisecond)
	ran := restate.RunAsync(ctx, func(restate.RunContext) (string, error) {
		return "ran", nil
	}, restate.WithName("ran"))
	values := map[restate.Future]string{}
	for future, err := range restate.Wait(ctx, first, second, naps, asleep, ran) {
		if err == nil {
			switch future {
			case first, second:
				values[future], err = future.(awakeable).Result()
			case naps:
				_, err = naps.Response()
			case asleep:
				err = asleep.Done()
			case ran:
				values[future], err = ran.Result()
			}
		}
		if err != nil {
			return failed(err), nil
		}
	}
	return fmt.Sprintf("%s, %s, %s", values[first], values[second], values[ran]), nil
}

func waitForAny(ctx restate.ObjectContext, _ restate.Void) (string, error) {
	first, second := two(ctx)
	for future, err := range restate.Wait(ctx, first, second) {
		if err != nil {
			return "", err
		}
		if value, err := future.(awakeable).Result(); err == nil {
			return value, nil
		}
	}
	return "all failed", nil
}

func race(ctx restate.ObjectContext, _ restate.Void) (string, error) {
	first, second := two(ctx)
	late := restate.After(ctx, time.Hour)
	won, err := restate.WaitFirst(ctx, first, second, late)
	if err != nil {
		return "", err
	}
	if won == late {
		return "late", nil
	}
	value, err := won.(awakeable).Result()
	if err != nil {
		return failed(err), nil
	}
	return value, nil
}

func settle(ctx restate.ObjectContext, _ restate.Void) (string, error) {
	first, second := two(ctx)
	for _, err := range restate.Wait(ctx, first, second, startNap(ctx)) {
		if err != nil {
			return "", err
		}
	}
	return outcome(first) + ", " + outcome(second), nil
}

func outcome(of awakeable) string {
	value, err := of.Result()
	if err != nil {
		return failed(err)
	}
	return value
}

// nest waits for both; one that needs a late sleep as well never wins.
func nest(ctx restate.ObjectContext, _ restate.Void) (string, error) {
	first, second := two(ctx)
	late := restate.After(ctx, time.Hour)
	came := map[restate.Future]bool{}
	for future, err := range restate.Wait(ctx, first, second, late) {
		if err != nil {
			return "", err
		}
		came[future] = true
		if came[first] && came[second] {
			return outcome(first) + ", " + outcome(second), nil
		}
		if came[first] && came[late] {
			return "late", nil
		}
	}
	return "", restate.TerminalErrorf("nothing came")
}

func combiner() restate.ServiceDefinition {
	return restate.NewObject("Combiner").
		Handler("all", restate.NewObjectHandler(waitForAll)).
		Handler("any", restate.NewObjectHandler(waitForAny)).
		Handler("race", restate.NewObjectHandler(race)).
		Handler("settled", restate.NewObjectHandler(settle)).
		Handler("nested", restate.NewObjectHandler(nest))
}
