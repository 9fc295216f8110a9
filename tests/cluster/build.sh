#!/usr/bin/env bash
# Builds the servers and tools of Kubernetes that the tests of the operator and of the chart use - etcd, kube-apiserver, kubectl,
# helm, alertmanager, and the Prometheus operator's translation of AlertmanagerConfig - from the versions pinned in the go.mod files
# beside this script.
#
#   tests/cluster/build.sh [DIR]        DIR defaults to target/cluster in the repository
#
# Needs nothing but `go` (and the module proxy that it is set up to use). A binary is built again only when its module, build flags
# or the Go version change. A module under the AGPL is refused.
# Exit status: 0 built or already there, 3 no `go` found, else that of the step that failed.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${1:-$here/../../target/cluster}
source "$here/../servers.sh"

# The module of Alertmanager lacks the web pages that its program embeds, so it is built from a copy with empty pages in it: a file
# below the module cache can be neither added nor overlaid.
pages=$out/.alertmanager

prepare_alertmanager() {
  local module
  module=$(cd "$here/alertmanager" && GOFLAGS=-mod=readonly go mod download -json github.com/prometheus/alertmanager |
    sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  rm -rf "$pages"
  mkdir -p "$pages"
  cp -R "$module" "$pages/source"
  chmod -R u+w "$pages/source"
  mkdir -p "$pages"/source/ui/app/dist/{elm,mantine}
  touch "$pages"/source/ui/app/dist/{elm,mantine}/index.html
  cp "$here/alertmanager/go.sum" "$pages/go.sum"
  {
    cat "$here/alertmanager/go.mod"
    echo "replace github.com/prometheus/alertmanager => $pages/source"
  } >"$pages/go.mod"
}

alertmanager() {
  local -x GOFLAGS="-mod=readonly -modfile=$pages/go.mod"
  build alertmanager alertmanager github.com/prometheus/alertmanager/cmd/alertmanager \
    "-X github.com/prometheus/common/version.Version=0.35.0"
}

kubernetes=k8s.io/kubernetes/cmd
kubernetes_version=k8s.io/component-base/version
kubernetes_link="-X $kubernetes_version.gitVersion=v1.37.2 -X $kubernetes_version.gitMajor=1 -X $kubernetes_version.gitMinor=37"
# One after the other: each build uses every core by itself, and the smallest come first. Those of one module share most of what
# is compiled.
build etcd           etcd .                          ""
alertmanager
build helm           kube helm.sh/helm/v4/cmd/helm   "-X helm.sh/helm/v4/internal/version.version=v4.3.1"
build kubectl        kube $kubernetes/kubectl        "$kubernetes_link"
build alertmanager-config kube ./alertmanager-config ""
build kube-apiserver kube $kubernetes/kube-apiserver "$kubernetes_link"
echo "the servers and tools of Kubernetes are in $out"
