{{- /* Ports of the control servers, by the key of `control` that each is configured with. */ -}}
{{- define "gatehouse.controlPorts" -}}
check: 15021
process: 15022
access_log: 15023
ads: 15024
{{- end -}}

{{- /* Keys that only the chart can set: their values must fit its other objects. */ -}}
{{- define "gatehouse.refuseOwnKeys" -}}
{{- $own := dict
  "tls.certificate_file" "set tls.secretName"
  "tls.private_key_file" "set tls.secretName"
  "control.socket_folder" "set envoy.mode"
  "control.check" "set envoy.mode"
  "control.process" "set envoy.mode"
  "control.access_log" "set envoy.mode"
  "control.ads" "set envoy.mode"
  "control.advertise_host" "set envoy.mode"
  "control.mtls" "set controlTls"
  "listen.address" "leave it out"
  "listen.port" "set service.port"
  "http.address" "set networkPolicy.http"
  "http.port" "leave it out"
  "runtime.kind" "leave it out"
  "runtime.kubernetes.installation" "set fullnameOverride"
  "runtime.kubernetes.namespaces" "set driverNamespaces"
  "runtime.kubernetes.seal_key_file" "set sealKey.existingSecret"
  "runtime.kubernetes.lease" "leave it out"
  "runtime.kubernetes.peer" "leave it out"
-}}
{{- range $path, $instead := $own -}}
{{- $place := $.Values.config -}}
{{- $parts := splitList "." $path -}}
{{- range initial $parts -}}{{- $place = ternary (get (default dict $place) .) dict (kindIs "map" $place) -}}{{- end -}}
{{- if and (kindIs "map" $place) (hasKey $place (last $parts)) -}}
{{- fail (printf "config.%s: the chart's own; %s" $path $instead) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What the chart sets, beside what values.config says. */ -}}
{{- define "gatehouse.ownConfig" -}}
tls:
  certificate_file: /etc/gatehouse/tls/tls.crt
  private_key_file: /etc/gatehouse/tls/tls.key
http:
  # Probes come from the node. NetworkPolicies keep others out.
  address: 0.0.0.0
control:
  {{- if eq .Values.envoy.mode "sidecar" }}
  # Made by Gatehouse with mode 0700 inside the shared volume; Envoy runs as the same user.
  socket_folder: /run/gatehouse/control
  {{- else }}
  {{- range $key, $port := include "gatehouse.controlPorts" . | fromYaml }}
  {{ $key }}: 0.0.0.0:{{ $port }}
  {{- end }}
  advertise_host: {{ include "gatehouse.controlHost" . }}
  mtls:
    certificate_file: /etc/gatehouse/control/tls.crt
    private_key_file: /etc/gatehouse/control/tls.key
    client_ca_file: /etc/gatehouse/control/ca.crt
    envoy:
      certificate_file: /etc/envoy/control/tls.crt
      private_key_file: /etc/envoy/control/tls.key
      ca_file: /etc/envoy/control/ca.crt
      server_name: {{ include "gatehouse.controlHost" . }}
  {{- end }}
runtime:
  kind: kubernetes
  kubernetes:
    installation: {{ include "gatehouse.fullname" . }}
    namespaces: {{ ternary (list) .Values.driverNamespaces .Values.rbac.clusterWide | toJson }}
    seal_key_file: /etc/gatehouse/seal/seal.key
    lease:
      namespace: {{ .Release.Namespace }}
      name: {{ include "gatehouse.fullname" . }}
    peer:
      listen: 0.0.0.0:15012
{{- end -}}

{{- /* The profiles, with the ServiceAccounts that the chart makes where they name none. */ -}}
{{- define "gatehouse.profiles" -}}
{{- $accounts := dict
  "driver" (dict "service_account" .Values.drivers.serviceAccount.name)
  "executor" (dict "service_account" .Values.executors.serviceAccount.name)
-}}
{{- $profiles := dict -}}
{{- range $name, $profile := merge (deepCopy (dig "profiles" dict .Values.config)) (dict "default" dict) -}}
{{- $kind := dig "kubernetes" "kind" "pod" (default dict $profile) -}}
{{- if not (has $kind $.Values.driverKinds) -}}
{{- fail (printf "driverKinds: the profile %s is of the kind %s, for which there are no rights; add it, or set config.profiles.%s.kubernetes.kind" $name $kind $name) -}}
{{- end -}}
{{- $_ := set $profiles $name (mergeOverwrite (dict "kubernetes" (deepCopy $accounts)) (default dict $profile)) -}}
{{- end -}}
{{- toYaml (dict "profiles" $profiles) -}}
{{- end -}}

{{- /* The whole configuration, as an object in YAML. */ -}}
{{- define "gatehouse.config" -}}
{{- include "gatehouse.refuseOwnKeys" . -}}
{{- $issuers := dig "identity" "issuers" list .Values.config -}}
{{- if empty $issuers -}}{{- required "config.identity.issuers: name the issuer whose tokens are accepted" nil -}}{{- end -}}
{{- if and (empty .Values.driverNamespaces) (not .Values.rbac.clusterWide) -}}
{{- required "driverNamespaces: name the namespaces that drivers run in, or set rbac.clusterWide" nil -}}
{{- end -}}
{{- $own := include "gatehouse.ownConfig" . | fromYaml -}}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) (include "gatehouse.profiles" . | fromYaml) $own) -}}
{{- end -}}

{{- /* What Envoy's start-up configuration is made from: its pods are replaced when this changes, not for every key. */ -}}
{{- define "gatehouse.bootstrapConfig" -}}
{{- $config := include "gatehouse.config" . | fromYaml -}}
{{- toYaml (dict "control" $config.control "max_connections" (dig "listen" "max_connections" 0 $config)) -}}
{{- end -}}
