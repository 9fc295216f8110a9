module contextcore.dev/tests/stack/tempo

go 1.25.1

require github.com/grafana/tempo v1.5.1-0.20251008140505-607c7fb69662

replace (
	k8s.io/api => k8s.io/api v0.25.0
	k8s.io/client-go => k8s.io/client-go v0.25.0
)

replace github.com/hashicorp/memberlist => github.com/grafana/memberlist v0.3.1-0.20220708130638-bd88e10a3d91
