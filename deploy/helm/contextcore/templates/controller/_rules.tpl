{{/* What the controller may do. Each list is as short as its work allows. */}}

{{/* In each namespace with contexts. Argument: settings. */}}
{{- define "contextcore.contextRules" -}}
- apiGroups: [contextcore.io]
  resources: [projectcontexts]
  verbs: [get, list, watch]
- apiGroups: [contextcore.io]
  resources: [projectcontexts/status]
  verbs: [patch]
# Owner references that block a deletion need it.
- apiGroups: [contextcore.io]
  resources: [projectcontexts/finalizers]
  verbs: [update]
- apiGroups: [monitoring.coreos.com]
  resources: [prometheusrules, servicemonitors]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- if and .channels (dig "routing" "perNamespace" false .) }}
{{ include "contextcore.routingRules" . }}
{{- end }}
{{- if eq (dig "grafana" "mode" "" .) "grafana-operator" }}
{{ include "contextcore.grafanaRules" . }}
{{- end }}
{{- if dig "env" "enabled" false . }}
# Environment variables of workloads.
{{ include "contextcore.configMapRules" . }}
{{- end }}
{{- if dig "annotate" "enabled" false . }}
- apiGroups: [apps]
  resources: [deployments, statefulsets, daemonsets]
  verbs: [get, list, patch]
- apiGroups: [batch]
  resources: [jobs, cronjobs]
  verbs: [get, list, patch]
{{- end }}
{{- end }}

{{- define "contextcore.grafanaRules" -}}
- apiGroups: [grafana.integreatly.org]
  resources: [grafanadashboards, grafanafolders]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}

{{- define "contextcore.configMapRules" -}}
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}

{{/* In the namespace of the release: settings, shared objects, the Lease. Arguments: settings, watched namespaces. */}}
{{- define "contextcore.releaseRules" -}}
{{ include "contextcore.configMapRules" . }}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [contextcore-controller]
  verbs: [get, update]
{{- if and (eq (dig "grafana" "mode" "" (index . 0)) "grafana-operator") (index . 1) }}
# The folders of the dashboards.
{{ include "contextcore.grafanaRules" . }}
{{- end }}
{{- end }}

{{- define "contextcore.routingRules" -}}
- apiGroups: [monitoring.coreos.com]
  resources: [alertmanagerconfigs]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}

{{/* Argument: settings. */}}
{{- define "contextcore.collectorRules" -}}
- apiGroups: [opentelemetry.io]
  resources: [opentelemetrycollectors]
  verbs: [get, list, watch, {{ if eq .collector.mode "managed" }}create, patch, delete{{ else }}patch{{ end }}]
{{- end }}

{{/* A Role and its binding. Arguments: context, namespace, name, rules. */}}
{{- define "contextcore.role" -}}
{{- $ := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ index . 2 }}
  namespace: {{ index . 1 }}
  labels:
    {{- include "contextcore.labels" (list $ "controller") | nindent 4 }}
rules:
  {{- index . 3 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ index . 2 }}
  namespace: {{ index . 1 }}
  labels:
    {{- include "contextcore.labels" (list $ "controller") | nindent 4 }}
{{ include "contextcore.bound" (list $ "Role" (index . 2)) }}
{{ end }}

{{/* The same in the whole cluster. Arguments: context, name, rules. */}}
{{- define "contextcore.clusterRole" -}}
{{- $ := index . 0 -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "contextcore.labels" (list $ "controller") | nindent 4 }}
rules:
  {{- index . 2 | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ index . 1 }}
  labels:
    {{- include "contextcore.labels" (list $ "controller") | nindent 4 }}
{{ include "contextcore.bound" (list $ "ClusterRole" (index . 1)) }}
{{ end }}

{{/* Who has a role. Arguments: context, kind, name. */}}
{{- define "contextcore.bound" -}}
{{- $ := index . 0 -}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ index . 1 }}
  name: {{ index . 2 }}
subjects:
  - kind: ServiceAccount
    name: {{ include "contextcore.controllerAccountName" $ }}
    namespace: {{ $.Release.Namespace }}
{{- end }}

{{/* Two replicas on two nodes, if there are two. Arguments: context, component. */}}
{{- define "contextcore.spread" -}}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "contextcore.selectorLabels" . | nindent 12 }}
{{- end }}
