{{/* Made by scripts/manifests.py, of what 'upcall manifests' writes; values are put in. */}}
{{- define "upcall.apart.preferred" -}}
{"podAntiAffinity":{"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":100,"podAffinityTerm":{"labelSelector":{"matchLabels":{"app.kubernetes.io/name":"upcall","app.kubernetes.io/instance":{{ .Release.Name | quote }},"app.kubernetes.io/component":"invoker"}},"topologyKey":"kubernetes.io/hostname"}}]}}
{{- end }}
{{- define "upcall.apart.required" -}}
{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"labelSelector":{"matchLabels":{"app.kubernetes.io/name":"upcall","app.kubernetes.io/instance":{{ .Release.Name | quote }},"app.kubernetes.io/component":"invoker"}},"topologyKey":"kubernetes.io/hostname"}]}}
{{- end }}
