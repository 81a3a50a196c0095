{{- /* Where Gatehouse's token of the Kubernetes API is mounted: in its container alone, not in Envoy's beside it. */ -}}
{{- define "gatehouse.apiAccessVolume" -}}
- name: api-access
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken:
          path: token
          expirationSeconds: 3607
      - configMap:
          name: kube-root-ca.crt
          items:
            - {key: ca.crt, path: ca.crt}
      - downwardAPI:
          items:
            - path: namespace
              fieldRef:
                fieldPath: metadata.namespace
{{- end -}}

{{- define "gatehouse.container" -}}
- name: gatehouse
  image: {{ include "gatehouse.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  args: [serve, --config, /etc/gatehouse/config/gatehouse.yaml]
  env:
    - name: POD_NAME
      valueFrom:
        fieldRef:
          fieldPath: metadata.name
    - name: POD_IP
      valueFrom:
        fieldRef:
          fieldPath: status.podIP
    {{- with .Values.gatehouse.extraEnv }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  ports:
    - {name: http, containerPort: 15010}
    - {name: peer, containerPort: 15012}
    {{- if eq .Values.envoy.mode "separate" }}
    {{- range $key, $port := include "gatehouse.controlPorts" . | fromYaml }}
    - {name: {{ $key | replace "_" "-" }}, containerPort: {{ $port }}}
    {{- end }}
    {{- end }}
  # A replica is ready when it has read all drivers and made its first snapshot.
  readinessProbe:
    httpGet: {path: /readyz, port: http}
    periodSeconds: 5
    timeoutSeconds: 3
  livenessProbe:
    httpGet: {path: /healthz, port: http}
    initialDelaySeconds: 10
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  lifecycle:
    preStop:
      sleep:
        seconds: {{ include "gatehouse.preStopSeconds" . }}
  resources:
    {{- toYaml .Values.gatehouse.resources | nindent 4 }}
  securityContext:
    {{- include "gatehouse.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/gatehouse/config, readOnly: true}
    - {name: tls, mountPath: /etc/gatehouse/tls, readOnly: true}
    - {name: seal, mountPath: /etc/gatehouse/seal, readOnly: true}
    - {name: api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
    {{- if eq .Values.envoy.mode "sidecar" }}
    - {name: sockets, mountPath: /run/gatehouse}
    {{- else }}
    - {name: control, mountPath: /etc/gatehouse/control, readOnly: true}
    {{- end }}
{{- end -}}

{{- /* Writes Envoy's start-up configuration: paths and addresses, no secret. */ -}}
{{- define "gatehouse.bootstrapContainer" -}}
- name: bootstrap
  image: {{ include "gatehouse.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [sh, -c]
  args: ["node /app/dist/cli.js envoy-bootstrap --config /etc/gatehouse/config/gatehouse.yaml > /etc/envoy/bootstrap/bootstrap.json"]
  resources:
    requests: {cpu: 50m, memory: 96Mi}
    limits: {memory: 256Mi}
  securityContext:
    {{- include "gatehouse.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/gatehouse/config, readOnly: true}
    - {name: bootstrap, mountPath: /etc/envoy/bootstrap}
{{- end -}}

{{- define "gatehouse.envoyContainer" -}}
- name: envoy
  image: {{ .Values.envoy.image.repository }}:{{ .Values.envoy.image.tag }}
  imagePullPolicy: {{ .Values.envoy.image.pullPolicy }}
  command: [/usr/local/bin/envoy]
  args:
    - --config-path
    - /etc/envoy/bootstrap/bootstrap.json
    - --disable-hot-restart
    - --concurrency
    - {{ .Values.envoy.concurrency | quote }}
    - --log-level
    - {{ .Values.envoy.logLevel }}
  ports:
    - {name: clients, containerPort: 15003}
  # The admin port stays on loopback: whoever reaches it owns this Envoy. The clients' port is open only once the listener,
  # its routes and its certificate have come from Gatehouse, and stays open while Gatehouse is away. There is no liveness
  # probe: Envoy ends by itself when it cannot go on, and one that still waits for Gatehouse must not be restarted.
  readinessProbe:
    tcpSocket: {port: clients}
    periodSeconds: 5
    timeoutSeconds: 3
  lifecycle:
    preStop:
      sleep:
        seconds: {{ .Values.envoy.preStopSeconds }}
  resources:
    {{- toYaml .Values.envoy.resources | nindent 4 }}
  securityContext:
    {{- include "gatehouse.containerSecurity" . | nindent 4 }}
  volumeMounts:
    - {name: bootstrap, mountPath: /etc/envoy/bootstrap, readOnly: true}
    {{- if eq .Values.envoy.mode "sidecar" }}
    # Read-only keeps nobody from connecting to a socket.
    - {name: sockets, mountPath: /run/gatehouse, readOnly: true}
    {{- else }}
    - {name: control, mountPath: /etc/envoy/control, readOnly: true}
    {{- end }}
{{- end -}}

{{- /* Volumes with few, short files. */ -}}
{{- define "gatehouse.configVolume" -}}
- name: config
  configMap:
    name: {{ include "gatehouse.fullname" . }}
{{- end -}}

{{- define "gatehouse.bootstrapVolume" -}}
- name: bootstrap
  emptyDir:
    sizeLimit: 1Mi
{{- end -}}
