// Holds the namespaces of a pod until it is told to end. As process 1 of a pod whose containers share their processes it
// collects orphans.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	told := make(chan os.Signal, 16)
	signal.Notify(told, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for next := range told {
		if next == syscall.SIGINT || next == syscall.SIGTERM {
			return
		}
		for pid := 1; pid > 0; {
			pid, _ = syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
		}
	}
}
