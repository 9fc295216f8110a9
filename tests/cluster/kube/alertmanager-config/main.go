// Command alertmanager-config writes the configuration that the Prometheus operator would give an Alertmanager, with the operator's
// own code. It reads a JSON object from standard input:
//
//	{"alertmanager": Alertmanager, "config": "its own configuration, as YAML", "objects": [AlertmanagerConfig or Secret, ...]}
//
// As the operator does, it refuses an AlertmanagerConfig that is not valid.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"

	"github.com/blang/semver/v4"
	"github.com/prometheus-operator/prometheus-operator/pkg/alertmanager"
	validation "github.com/prometheus-operator/prometheus-operator/pkg/alertmanager/validation/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	"github.com/prometheus-operator/prometheus-operator/pkg/assets"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The newest Alertmanager whose settings this operator knows.
var version = semver.MustParse("0.28.1")

type input struct {
	Alertmanager monitoringv1.Alertmanager `json:"alertmanager"`
	Config       string                    `json:"config"`
	Objects      []json.RawMessage         `json:"objects"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "alertmanager-config:", err)
		os.Exit(1)
	}
}

func run() error {
	var in input
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		return err
	}
	configs, secrets, err := sorted(in.Objects)
	if err != nil {
		return err
	}
	builder := alertmanager.NewConfigBuilder(slog.Default(), version, assets.NewTestStoreBuilder(secrets...), &in.Alertmanager)
	if err := builder.InitializeFromRawConfiguration([]byte(in.Config)); err != nil {
		return err
	}
	if err := builder.AddAlertmanagerConfigs(context.Background(), configs); err != nil {
		return err
	}
	text, err := builder.MarshalJSON() // It is YAML.
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(text)
	return err
}

// sorted separates configurations, by namespace and name, from the secrets that they refer to.
func sorted(objects []json.RawMessage) (map[string]*monitoringv1alpha1.AlertmanagerConfig, []any, error) {
	configs := map[string]*monitoringv1alpha1.AlertmanagerConfig{}
	var secrets []any
	for _, object := range objects {
		var meta metav1.TypeMeta
		if err := json.Unmarshal(object, &meta); err != nil {
			return nil, nil, err
		}
		switch meta.Kind {
		case "AlertmanagerConfig":
			config := &monitoringv1alpha1.AlertmanagerConfig{}
			if err := json.Unmarshal(object, config); err != nil {
				return nil, nil, err
			}
			if err := validation.ValidateAlertmanagerConfig(config); err != nil {
				return nil, nil, fmt.Errorf("%s/%s: %w", config.Namespace, config.Name, err)
			}
			configs[config.Namespace+"/"+config.Name] = config
		case "Secret":
			secret := &corev1.Secret{}
			if err := json.Unmarshal(object, secret); err != nil {
				return nil, nil, err
			}
			secrets = append(secrets, secret)
		default:
			return nil, nil, fmt.Errorf("%s is neither AlertmanagerConfig nor Secret", meta.Kind)
		}
	}
	return configs, secrets, nil
}
