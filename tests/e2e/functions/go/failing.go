package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	restate "github.com/restatedev/sdk-go"
)

// Handlers that fail, for good or for a while, and steps that must not run twice.

var (
	tried    = map[string]int{}
	allowed  = map[string]bool{}
	wandered = map[string]int{}
	lock     sync.Mutex
)

func decline() restate.TerminalError {
	return restate.ToTerminalError(errors.New("the card was declined"), restate.WithErrorCode(422))
}

func failTerminally(restate.Context, restate.Void) (restate.Void, error) {
	return restate.Void{}, decline()
}

func failStep(ctx restate.Context, _ restate.Void) (restate.Void, error) {
	charge := func(restate.RunContext) error { return decline() }
	return restate.Void{}, restate.RunVoid(ctx, charge, restate.WithName("charge"))
}

func failTwice(ctx restate.Context, _ restate.Void) (int, error) {
	lock.Lock()
	defer lock.Unlock()
	id := ctx.Request().ID
	tried[id]++
	if tried[id] < 3 {
		return 0, errors.New("not yet")
	}
	return tried[id], nil
}

func pause(_ restate.Context, name string) (string, error) {
	lock.Lock()
	defer lock.Unlock()
	if !allowed[name] {
		return "", fmt.Errorf("%s is not allowed yet", name)
	}
	return name, nil
}

// goOn says whether an invocation has wandered so far, and has it go on if so.
func goOn(id string, from int) bool {
	lock.Lock()
	defer lock.Unlock()
	if wandered[id] != from {
		return false
	}
	wandered[id]++
	return true
}

// wander takes the same step whenever it is asked, but for once.
func wander(ctx restate.Context, _ restate.Void) (string, error) {
	id := string(ctx.Request().ID)
	if goOn(id, 1) {
		if err := restate.Sleep(ctx, time.Millisecond); err != nil {
			return "", err
		}
	}
	pack := func(restate.RunContext) (string, error) { return "packed", nil }
	packed, err := restate.Run(ctx, pack, restate.WithName("pack"))
	if err != nil {
		return "", err
	}
	if goOn(id, 0) {
		return "", errors.New("lost")
	}
	return packed, nil
}

func allow(_ restate.Context, name string) (restate.Void, error) {
	lock.Lock()
	defer lock.Unlock()
	allowed[name] = true
	return restate.Void{}, nil
}

func die(restate.Context, restate.Void) (restate.Void, error) {
	return restate.Void{}, errors.New("never")
}

func failing() restate.ServiceDefinition {
	soon := restate.WithInitialRetryInterval(10 * time.Millisecond)
	two := restate.WithMaxRetryAttempts(2)
	often := restate.WithInvocationRetryPolicy(soon)
	pausing := restate.WithInvocationRetryPolicy(soon, two, restate.PauseOnMaxAttempts())
	dying := restate.WithInvocationRetryPolicy(soon, two, restate.KillOnMaxAttempts())
	return restate.NewService("Failing").
		Handler("terminally", restate.NewServiceHandler(failTerminally)).
		Handler("terminalStep", restate.NewServiceHandler(failStep)).
		Handler("twice", restate.NewServiceHandler(failTwice, often)).
		Handler("pauses", restate.NewServiceHandler(pause, pausing)).
		Handler("wanders", restate.NewServiceHandler(wander, pausing)).
		Handler("allow", restate.NewServiceHandler(allow)).
		Handler("dies", restate.NewServiceHandler(die, dying))
}

func runSteps(ctx restate.Context, count int) ([]string, error) {
	tokens := []string{}
	for number := range count {
		token, err := restate.Run(ctx, func(restate.RunContext) (string, error) {
			return rand.Text(), nil
		}, restate.WithName(fmt.Sprintf("step %d", number)))
		if err != nil {
			return nil, err
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

func steps() restate.ServiceDefinition {
	return restate.NewService("Steps").Handler("run", restate.NewServiceHandler(runSteps))
}
