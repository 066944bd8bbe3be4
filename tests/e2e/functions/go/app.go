// Serves the functions on the port of loopback that is the first argument.
package main

import (
	"context"
	"log"
	"os"

	"github.com/restatedev/sdk-go/server"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: functions PORT")
	}
	functions := server.NewRestate().
		Bind(store("Store")).
		Bind(lazyStore()).
		Bind(history()).
		Bind(caller()).
		Bind(timer()).
		Bind(waiter()).
		Bind(blocker()).
		Bind(resolver()).
		Bind(combiner()).
		Bind(failing()).
		Bind(steps()).
		Bind(order()).
		Bind(desk())
	log.Fatal(functions.Start(context.Background(), "127.0.0.1:"+os.Args[1]))
}
