package main

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	restate "github.com/restatedev/sdk-go"
)

// Objects with state: scripts of state commands, and a history that shows the order of its calls.

type step struct {
	Op    string `json:"op"`
	Name  string `json:"name,omitempty"`
	Value string `json:"value,omitempty"`
}

func set(name, value string) step {
	return step{Op: "set", Name: name, Value: value}
}

func apply(ctx restate.ObjectContext, steps []step) ([]any, error) {
	results := []any{}
	for _, step := range steps {
		switch step.Op {
		case "set":
			restate.Set(ctx, step.Name, step.Value)
		case "get":
			value, err := restate.Get[*string](ctx, step.Name)
			if err != nil {
				return nil, err
			}
			results = append(results, value)
		case "clear":
			restate.Clear(ctx, step.Name)
		case "clearAll":
			restate.ClearAll(ctx)
		case "keys":
			keys, err := restate.Keys(ctx)
			if err != nil {
				return nil, err
			}
			slices.Sort(keys)
			results = append(results, append([]string{}, keys...))
		case "sleep":
			if err := restate.Sleep(ctx, time.Millisecond); err != nil {
				return nil, err
			}
		default:
			return nil, restate.TerminalErrorf("unknown step %q", step.Op)
		}
	}
	return results, nil
}

func peek(ctx restate.ObjectSharedContext, name string) (*string, error) {
	return restate.Get[*string](ctx, name)
}

func store(name string, options ...restate.ServiceDefinitionOption) restate.ServiceDefinition {
	return restate.NewObject(name, options...).
		Handler("apply", restate.NewObjectHandler(apply)).
		Handler("peek", restate.NewObjectSharedHandler(peek))
}

func lazyStore() restate.ServiceDefinition {
	return store("LazyStore", restate.WithEnableLazyState(true))
}

type place struct {
	Position int    `json:"position"`
	Hash     string `json:"hash"`
}

type entries struct {
	Entries []string `json:"entries"`
	Hash    string   `json:"hash"`
}

func readHistory(ctx restate.ObjectSharedContext, _ restate.Void) (entries, error) {
	items, err := restate.Get[[]string](ctx, "entries")
	if err != nil {
		return entries{}, err
	}
	hash, err := restate.Get[string](ctx, "hash")
	if err != nil {
		return entries{}, err
	}
	return entries{Entries: append([]string{}, items...), Hash: hash}, nil
}

func appendHistory(ctx restate.ObjectContext, item string) (place, error) {
	before, err := readHistory(ctx, restate.Void{})
	if err != nil {
		return place{}, err
	}
	hash, err := restate.Run(ctx, func(restate.RunContext) (string, error) {
		sum := sha256.Sum256([]byte(before.Hash + item))
		return hex.EncodeToString(sum[:]), nil
	}, restate.WithName("hash"))
	if err != nil {
		return place{}, err
	}
	restate.Set(ctx, "hash", hash)
	restate.Set(ctx, "entries", append(before.Entries, item))
	return place{Position: len(before.Entries), Hash: hash}, nil
}

func history() restate.ServiceDefinition {
	return restate.NewObject("History").
		Handler("append", restate.NewObjectHandler(appendHistory)).
		Handler("read", restate.NewObjectSharedHandler(readHistory))
}
