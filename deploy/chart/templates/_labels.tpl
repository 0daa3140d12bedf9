{{/* The selector never changes over a release's life; call with (list $ "agent"). */}}
{{- define "selector" -}}
app.kubernetes.io/name: stoppablecontainer
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "labels" -}}
{{ include "selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
{{- end }}
