{{/* What the Job is: its name changes with this, since a Job cannot change. */}}
{{- define "contextcore.dashboardsJob" -}}
{{- with .Values.dashboards -}}
backoffLimit: {{ .backoffLimit }}
{{- if and .ttlSecondsAfterFinished (not ($.Capabilities.APIVersions.Has "argoproj.io/v1alpha1")) }}
ttlSecondsAfterFinished: {{ .ttlSecondsAfterFinished }}
{{- end }}
template:
  metadata:
    labels:
      {{- include "contextcore.podLabels" (list $ "dashboards" dict) | nindent 6 }}
  spec:
    restartPolicy: Never
    serviceAccountName: {{ include "contextcore.serviceAccountName" $ }}
    automountServiceAccountToken: false
    enableServiceLinks: false
    {{- with include "contextcore.scheduling" (list $ $.Values) }}
    {{- . | nindent 4 }}
    {{- end }}
    securityContext:
      {{- toYaml $.Values.podSecurityContext | nindent 6 }}
    containers:
      - name: provision
        image: {{ include "contextcore.image" $ }}
        imagePullPolicy: {{ $.Values.image.pullPolicy }}
        args:
          - dashboards
          - provision
          - --grafana-url
          - {{ $.Values.grafana.url | quote }}
          - --folder
          - {{ .folder | quote }}
          {{- range $flag, $url := dict "prometheus" .prometheusUrl "tempo" .tempoUrl "loki" .lokiUrl }}
          {{- if $url }}
          - --{{ $flag }}-url
          - {{ $url | quote }}
          {{- end }}
          {{- end }}
          {{- if $.Values.grafana.caConfigMap }}
          - --ca-file
          - /etc/contextcore/ca/ca.crt
          {{- end }}
          {{- if .force }}
          - --force
          {{- end }}
        env:
          {{- include "contextcore.jobCredentials" $ | trim | nindent 10 }}
        resources:
          {{- toYaml .resources | nindent 10 }}
        securityContext:
          {{- toYaml $.Values.securityContext | nindent 10 }}
        {{- if $.Values.grafana.caConfigMap }}
        volumeMounts:
          - {name: ca, mountPath: /etc/contextcore/ca, readOnly: true}
        {{- end }}
    {{- with $.Values.grafana.caConfigMap }}
    volumes:
      - name: ca
        configMap: {name: {{ . | quote }}}
    {{- end }}
{{- end }}
{{- end }}

{{/* The name of the secret of Grafana's own chart, if its release is called as this one. */}}
{{- define "contextcore.adminSecret" -}}
{{- default (printf "%s-grafana" .Release.Name) .Values.grafana.adminSecret }}
{{- end }}

{{/* How to log in to Grafana: a token, or the name and password of an administrator. Arguments: context, secret and key of a token, whether all may be missing. */}}
{{- define "contextcore.grafanaCredentials" -}}
{{- $ := index . 0 }}
{{- $token := index . 1 }}
{{- $optional := or (index . 2) (not (or $token $.Values.grafana.adminSecret)) }}
{{- $secret := include "contextcore.adminSecret" $ }}
{{- $variables := dict "GRAFANA_USER" (list $secret $.Values.grafana.adminUserKey) "GRAFANA_PASSWORD" (list $secret $.Values.grafana.adminPasswordKey) }}
{{- if $token }}
{{- $variables = dict "GRAFANA_TOKEN" $token }}
{{- end }}
{{- range $variable, $key := $variables }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ index $key 0 | quote }}, key: {{ index $key 1 | quote }}{{ if $optional }}, optional: true{{ end }}}}
{{- end }}
{{- end }}

{{/* Secret and key of the token that the values name, as JSON. */}}
{{- define "contextcore.token" -}}
{{- with .Values.grafana }}
{{- ternary (list .tokenSecret .tokenSecretKey) list (not (empty .tokenSecret)) | toJson }}
{{- end }}
{{- end }}

{{- define "contextcore.jobCredentials" -}}
{{- include "contextcore.grafanaCredentials" (list . (include "contextcore.token" . | fromJsonArray) false) }}
{{- end }}

{{/* Those of the controller, where it sends dashboards to Grafana itself. It starts without them, and says what is missing in the contexts. */}}
{{- define "contextcore.controllerCredentials" -}}
{{- $grafana := (include "contextcore.settings" . | fromYaml).grafana | default dict }}
{{- $token := include "contextcore.token" . | fromJsonArray }}
{{- with $grafana.tokenSecret }}
{{- $token = list .name .key }}
{{- end }}
{{- if and (or $grafana.url $grafana.apiUrl) (eq (default "url" $grafana.mode) "url") }}
{{- include "contextcore.grafanaCredentials" (list . $token true) }}
{{- end }}
{{- end }}
