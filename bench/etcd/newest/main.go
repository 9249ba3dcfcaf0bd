// The newest etcd as a program, from its Go module: Debian 12 has 3.4 only.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
