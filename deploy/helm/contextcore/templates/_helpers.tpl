{{/* Names, labels, and what several pods share. */}}

{{- define "contextcore.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "contextcore.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "contextcore.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "contextcore.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* The release in the whole cluster: two of one name in different namespaces must not meet. */}}
{{- define "contextcore.clusterName" -}}
{{- if eq .Release.Namespace (include "contextcore.fullname" .) }}
{{- .Release.Namespace }}
{{- else }}
{{- printf "%s.%s" .Release.Namespace (include "contextcore.fullname" .) | trunc 63 | trimAll "-." }}
{{- end }}
{{- end }}

{{/* Arguments: context, component. */}}
{{- define "contextcore.selectorLabels" -}}
{{- $ := index . 0 -}}
app.kubernetes.io/name: {{ include "contextcore.name" $ }}
app.kubernetes.io/instance: {{ $.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{/* Arguments: context, component. */}}
{{- define "contextcore.labels" -}}
{{- $ := index . 0 -}}
{{ include "contextcore.selectorLabels" . }}
app.kubernetes.io/part-of: contextcore
app.kubernetes.io/version: {{ $.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $.Chart.Name $.Chart.Version | replace "+" "_" }}
{{- with $.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of pods leave out what changes with each version of the chart, so that an upgrade restarts only what it must. Arguments: context, component, labels of the values. */}}
{{- define "contextcore.podLabels" -}}
{{- $ := index . 0 -}}
{{ toYaml (merge (include "contextcore.selectorLabels" . | fromYaml) (dict "app.kubernetes.io/part-of" "contextcore") (index . 2) $.Values.commonLabels) }}
{{- end }}

{{- define "contextcore.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end }}
{{- end }}
{{- end }}

{{- define "contextcore.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "contextcore.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "contextcore.controllerAccountName" -}}
{{- with .Values.controller.serviceAccount }}
{{- if .create }}
{{- default (include "contextcore.controllerName" $) .name }}
{{- else }}
{{- default "default" .name }}
{{- end }}
{{- end }}
{{- end }}

{{- define "contextcore.controllerName" -}}
{{- include "contextcore.fullname" . }}-controller
{{- end }}

{{- define "contextcore.controllerPort" -}}
8081
{{- end }}

{{/* The settings of the controller: those of the values, and what the chart knows. */}}
{{- define "contextcore.settings" -}}
{{- with .Values.controller.settings.namespace }}
{{- if ne . $.Release.Namespace }}
{{- fail (printf "controller.settings.namespace: %s is not the namespace of the release, where the pods mount the shared objects: leave it out" .) }}
{{- end }}
{{- end }}
{{- $known := dict "instance" (include "contextcore.clusterName" .) "namespace" .Release.Namespace }}
{{- if and .Values.dashboards.autoProvision .Values.grafana.url }}
{{- /* Where people have another address, alerts link to theirs. */}}
{{- $key := ternary "apiUrl" "url" (not (empty (dig "grafana" "url" "" .Values.controller.settings))) }}
{{- $grafana := dict $key .Values.grafana.url }}
{{- if .Values.grafana.caConfigMap }}
{{- $_ := set $grafana "caFile" "/etc/contextcore/ca/ca.crt" }}
{{- end }}
{{- $_ := set $known "grafana" $grafana }}
{{- end }}
{{- toYaml (merge (deepCopy .Values.controller.settings) $known) }}
{{- end }}

{{- define "contextcore.claimName" -}}
{{- default (include "contextcore.fullname" .) .Values.persistence.existingClaim }}
{{- end }}

{{/* The configuration file of the sync service. Where there is a controller, it reads the projects that follow from contexts. */}}
{{- define "contextcore.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if include "contextcore.postgres" . }}
{{- $_ := unset $config.store "path" }}
{{- end }}
{{- if and .Values.controller.enabled (not (hasKey $config "projects_file")) }}
{{- $_ := set $config "projects_file" "/etc/contextcore/projects" }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* Whether the store is in PostgreSQL; empty when it is on the volume. */}}
{{- define "contextcore.postgres" -}}
{{- if (.Values.config.store | default dict).postgres }}yes{{ end }}
{{- end }}

{{/* The volume of the store, if it is on one. */}}
{{- define "contextcore.hasVolume" -}}
{{- if and .Values.persistence.enabled (not (include "contextcore.postgres" .)) }}yes{{ end }}
{{- end }}

{{/* The port of an address to listen on. Arguments: key, address. */}}
{{- define "contextcore.port" -}}
{{- $address := index . 1 }}
{{- if or (hasPrefix "127." $address) (hasPrefix "localhost:" $address) (hasPrefix "[::1]" $address) }}
{{- fail (printf "%s: %s cannot be reached from outside the pod: use 0.0.0.0:PORT" (index . 0) $address) }}
{{- end }}
{{- regexFind "[0-9]+$" $address }}
{{- end }}

{{- define "contextcore.httpPort" -}}
{{- include "contextcore.port" (list "config.listen" (.Values.config.listen | default "127.0.0.1:9464")) }}
{{- end }}

{{/* The port for webhooks alone, if the configuration has one. */}}
{{- define "contextcore.webhookPort" -}}
{{- with (.Values.config.webhooks | default dict).listen }}
{{- include "contextcore.port" (list "config.webhooks.listen" .) }}
{{- end }}
{{- end }}

{{/* Where a pod runs. Arguments: context, values of the component. */}}
{{- define "contextcore.scheduling" -}}
{{- $given := dict }}
{{- with (index . 0).Values.imagePullSecrets }}
{{- $_ := set $given "imagePullSecrets" . }}
{{- end }}
{{- $values := index . 1 }}
{{- range $key := list "priorityClassName" "nodeSelector" "tolerations" "affinity" "topologySpreadConstraints" }}
{{- with get $values $key }}
{{- $_ := set $given $key . }}
{{- end }}
{{- end }}
{{- if $given }}
{{- toYaml $given }}
{{- end }}
{{- end }}
