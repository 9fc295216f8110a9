{{/* The pod of the sync service, alike in both modes. Arguments: context, command, restart policy. */}}
{{- define "contextcore.syncPod" -}}
{{- $ := index . 0 }}
{{- $command := index . 1 -}}
metadata:
  labels:
    {{- include "contextcore.podLabels" (list $ "sync-service" $.Values.podLabels) | nindent 4 }}
  annotations:
    # A pod reads its configuration when it starts, so a new one starts a new pod.
    checksum/config: {{ include "contextcore.config" $ | sha256sum }}
    {{- with $.Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  {{- with index . 2 }}
  restartPolicy: {{ . }}
  {{- end }}
  serviceAccountName: {{ include "contextcore.serviceAccountName" $ }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # On SIGTERM it finishes the page at hand and exits within 10 s.
  terminationGracePeriodSeconds: 30
  {{- with include "contextcore.scheduling" (list $ $.Values) }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- if and (eq $command "serve") (gt (int $.Values.replicas) 1) (not $.Values.affinity) }}
  affinity:
    {{- include "contextcore.spread" (list $ "sync-service") | nindent 4 }}
  {{- end }}
  securityContext:
    {{- toYaml $.Values.podSecurityContext | nindent 4 }}
  containers:
    - name: contextcore
      image: {{ include "contextcore.image" $ }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      args:
        {{- toYaml (concat (list $command) $.Values.extraArgs) | nindent 8 }}
      env:
        - {name: CONTEXTCORE_CONFIG, value: /etc/contextcore/config/contextcore.yaml}
        {{- with $.Values.env }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- if or $.Values.existingSecret $.Values.envFrom }}
      envFrom:
        {{- with $.Values.existingSecret }}
        - secretRef: {name: {{ . | quote }}}
        {{- end }}
        {{- with $.Values.envFrom }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
      {{- if eq $command "serve" }}
      ports:
        - {name: http, containerPort: {{ include "contextcore.httpPort" $ }}}
        {{- with include "contextcore.webhookPort" $ }}
        - {name: webhooks, containerPort: {{ . }}}
        {{- end }}
      # A large store that was not closed takes its time to open.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 5
        failureThreshold: 120
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 20
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 10
      {{- end }}
      resources:
        {{- toYaml $.Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml $.Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: store, mountPath: /var/lib/contextcore}
        - {name: config, mountPath: /etc/contextcore/config, readOnly: true}
        {{- if $.Values.existingSecret }}
        - {name: secrets, mountPath: /etc/contextcore/secrets, readOnly: true}
        {{- end }}
        {{- if $.Values.controller.enabled }}
        - {name: projects, mountPath: /etc/contextcore/projects, readOnly: true}
        {{- end }}
        - {name: tmp, mountPath: /tmp}
        {{- with $.Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    {{- with $.Values.extraContainers }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
    - name: store
      {{- if include "contextcore.hasVolume" $ }}
      persistentVolumeClaim: {claimName: {{ include "contextcore.claimName" $ | quote }}}
      {{- else }}
      emptyDir: {}
      {{- end }}
    - name: config
      configMap: {name: {{ include "contextcore.fullname" $ }}}
    {{- with $.Values.existingSecret }}
    - name: secrets
      # 0440, which is another number in newer YAML.
      secret: {secretName: {{ . | quote }}, defaultMode: 288}
    {{- end }}
    {{- if $.Values.controller.enabled }}
    - name: projects
      projected:
        sources:
          # The controller spreads the contexts over these; any of them may be missing.
          {{- range splitList "" "0123456789abcdef" }}
          - configMap: {name: contextcore-projects-{{ . }}, optional: true}
          {{- end }}
    {{- end }}
    - name: tmp
      emptyDir: {}
    {{- with $.Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
