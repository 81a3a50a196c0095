{{- /* What Gatehouse may do where drivers run: one rule for each purpose. docs/rbac.md goes through them. */ -}}
{{- define "gatehouse.driverRules" -}}
{{- if has "pod" .Values.driverKinds -}}
# Drivers that are plain pods: known by watching, started, marked (seal, activity, draining), stopped.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
{{- else -}}
# The pods of drivers: their addresses and why they failed. Those that others started are marked (activity, draining) and stopped.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, patch, delete]
{{- end }}
{{- $kubeflow := list }}
{{- if has "spark-application" .Values.driverKinds }}{{ $kubeflow = append $kubeflow "sparkapplications" }}{{ end }}
{{- if has "spark-connect" .Values.driverKinds }}{{ $kubeflow = append $kubeflow "sparkconnects" }}{{ end }}
{{- with $kubeflow }}
# Drivers that kubeflow's operator runs: known, started, marked, stopped.
- apiGroups: [sparkoperator.k8s.io]
  resources: {{ toJson . }}
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if has "apache-spark-application" .Values.driverKinds }}
# Drivers that Apache's operator runs: known, started, marked, stopped.
- apiGroups: [spark.apache.org]
  resources: [sparkapplications]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
# The token of each driver: made with it, read by the replicas, removed with what a start left behind.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch, create, delete]
# Why a driver did not start, in the client's error: quota, scheduling, image.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# The last lines of a driver that ended by itself, in the same error.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
{{- end -}}

{{- /* What a Spark driver may do in its own namespace: make, watch and remove its executors and what they need. */ -}}
{{- define "gatehouse.sparkRules" -}}
- apiGroups: [""]
  resources: [pods, services, configmaps, persistentvolumeclaims]
  # Spark removes its executors by label, which is deletecollection; it patches them when it decommissions them.
  verbs: [get, list, watch, create, patch, delete, deletecollection]
{{- end -}}
