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
          {{- include "contextcore.grafanaCredentials" (list $ false) | trim | nindent 10 }}
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

{{/* How to log in to Grafana: a token, or the name and password of an administrator. Arguments: context, whether all may be missing. */}}
{{- define "contextcore.grafanaCredentials" -}}
{{- $ := index . 0 }}
{{- $all := index . 1 }}
{{- $grafana := $.Values.grafana }}
{{- $secret := include "contextcore.adminSecret" $ }}
{{- $variables := dict "GRAFANA_USER" (list $secret $grafana.adminUserKey) "GRAFANA_PASSWORD" (list $secret $grafana.adminPasswordKey) }}
{{- if $grafana.tokenSecret }}
{{- $variables = dict "GRAFANA_TOKEN" (list $grafana.tokenSecret $grafana.tokenSecretKey) }}
{{- end }}
{{- $named := or $grafana.tokenSecret $grafana.adminSecret }}
{{- range $variable, $key := $variables }}
- name: {{ $variable }}
  valueFrom: {secretKeyRef: {name: {{ index $key 0 | quote }}, key: {{ index $key 1 | quote }}{{ if or $all (not $named) }}, optional: true{{ end }}}}
{{- end }}
{{- end }}
