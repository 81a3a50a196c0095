{{- define "gatehouse.dnsRule" -}}
- ports:
    - {protocol: UDP, port: 53}
    - {protocol: TCP, port: 53}
{{- end -}}

{{- /* Pods that are drivers, whoever started them; executors may carry their driver's label. */ -}}
{{- define "gatehouse.driverSelectors" -}}
- matchExpressions:
    - {key: gatehouse.dev/driver, operator: Exists}
    - {key: spark-role, operator: NotIn, values: [executor]}
- matchLabels:
    gatehouse.dev/discover: "true"
{{- end -}}

{{- /* From Envoy to drivers. */ -}}
{{- define "gatehouse.toDrivers" -}}
- to:
    {{- range include "gatehouse.driverSelectors" . | fromYamlArray }}
    - namespaceSelector:
        {{- if $.Values.rbac.clusterWide }} {}
        {{- else }}
        matchExpressions:
          - {key: kubernetes.io/metadata.name, operator: In, values: {{ $.Values.driverNamespaces | toJson }}}
        {{- end }}
      podSelector:
        {{- toYaml . | nindent 8 }}
    {{- end }}
  ports:
    - {protocol: TCP, port: {{ include "gatehouse.driverPort" . }}}
{{- end -}}

{{- define "gatehouse.clientsRule" -}}
- ports:
    - {protocol: TCP, port: clients}
  {{- with .Values.networkPolicy.clients }}
  from:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
