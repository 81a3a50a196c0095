{{- define "gatehouse.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "gatehouse.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "gatehouse.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "gatehouse.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Labels of every object. Argument: the context. */ -}}
{{- define "gatehouse.labels" -}}
app.kubernetes.io/name: {{ include "gatehouse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "gatehouse.selector" -}}
app.kubernetes.io/name: {{ include "gatehouse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: gatehouse
{{- end -}}

{{- /* The pods in which Envoy runs. */ -}}
{{- define "gatehouse.envoySelector" -}}
app.kubernetes.io/name: {{ include "gatehouse.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: {{ ternary "gatehouse" "envoy" (eq .Values.envoy.mode "sidecar") }}
{{- end -}}

{{- define "gatehouse.serviceAccount" -}}
{{- default (include "gatehouse.fullname" .) .Values.gatehouse.serviceAccount.name -}}
{{- end -}}

{{- define "gatehouse.image" -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}

{{- /* The name that Envoy calls, and that Gatehouse's control certificate carries. */ -}}
{{- define "gatehouse.controlHost" -}}
{{- printf "%s-control.%s.svc" (include "gatehouse.fullname" .) .Release.Namespace -}}
{{- end -}}

{{- define "gatehouse.controlSecret" -}}
{{- default (printf "%s-control" (include "gatehouse.fullname" .)) .Values.controlTls.gatehouseSecret -}}
{{- end -}}

{{- define "gatehouse.envoySecret" -}}
{{- default (printf "%s-envoy-control" (include "gatehouse.fullname" .)) .Values.controlTls.envoySecret -}}
{{- end -}}

{{- define "gatehouse.sealSecret" -}}
{{- default (printf "%s-seal" (include "gatehouse.fullname" .)) .Values.sealKey.existingSecret -}}
{{- end -}}

{{- /* The port that drivers listen on. */ -}}
{{- define "gatehouse.driverPort" -}}
{{- dig "runtime" "kubernetes" "port" 15002 .Values.config -}}
{{- end -}}

{{- define "gatehouse.drainSeconds" -}}
{{- dig "shutdown" "drain_seconds" 5 .Values.config -}}
{{- end -}}

{{- /* Gatehouse ends after an Envoy beside it has: its calls are still decided. */ -}}
{{- define "gatehouse.preStopSeconds" -}}
{{- if eq .Values.envoy.mode "sidecar" -}}
{{- max (int .Values.gatehouse.preStopSeconds) (add1 (int .Values.envoy.preStopSeconds)) -}}
{{- else -}}
{{- int .Values.gatehouse.preStopSeconds -}}
{{- end -}}
{{- end -}}

{{- /* Level "restricted" of Pod Security. One user for all containers: Unix sockets are open to it alone. */ -}}
{{- define "gatehouse.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "gatehouse.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- /* Where pods go. Argument: {root, part (values), selector (labels as text)}. */ -}}
{{- define "gatehouse.placement" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- $.selector | nindent 8 }}
    # So that the pods of the version before do not count during an update.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- with .part.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .part.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
