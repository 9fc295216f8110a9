// Command etcd is etcd as released, from its module: the command of its own repository is a main package of another module, which
// refers to its neighbours by path and can therefore not be built by name.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() {
	etcdmain.Main(os.Args)
}
