{{/* Which template makes the Invokers: process, docker, kubernetes, or daemon. */}}
{{- define "upcall.workload" -}}
{{- $impl := .Values.invoker.containerFactory.impl -}}
{{- if not .Values.invoker.daemonSet }}{{ $impl }}
{{- else if ne $impl "docker" }}{{ fail (printf "invoker.daemonSet: with invoker.containerFactory.impl %s Invokers have ordinals; leave daemonSet out, or set impl to docker" $impl) }}
{{- else }}daemon{{ end }}
{{- end }}

{{- define "upcall.replicas" -}}
{{- $count := .Values.invoker.replicas | default .Values.invoker.containerFactory.kubernetes.replicaCount | int -}}
{{- if lt $count 1 }}{{ fail "invoker.containerFactory.kubernetes.replicaCount: at least one Invoker is needed" }}{{ end -}}
{{ $count }}
{{- end }}

{{/* MB for running actions, of OpenWhisk's way to write it. */}}
{{- define "upcall.memory" -}}
{{- $given := .Values.whisk.containerPool.userMemory -}}
{{- $number := regexFind "^[0-9]+" $given | int -}}
{{- if regexMatch "[gG]" $given }}{{ mul $number 1024 }}{{ else }}{{ $number }}{{ end }}
{{- end }}

{{/* MB of a pod that runs them inside: they get 75 % of it, and the Invoker 512 MB at least. */}}
{{- define "upcall.podMemory" -}}
{{- $actions := include "upcall.memory" . | int -}}
{{- max (div (add (mul $actions 4) 2) 3) (add $actions 512) }}
{{- end }}

{{/* Bytes of actions, on average, from which there are to be more Invokers. */}}
{{- define "upcall.threshold" -}}
{{- if .Values.invoker.daemonSet }}{{ fail "invoker.scale: there is one Invoker per node (invoker.daemonSet), and nothing to scale" }}{{ end -}}
{{- div (mul (include "upcall.memory" . | int64) 1048576 70) 100 }}
{{- end }}

{{- define "upcall.prefix" -}}
{{- with .Values.docker.registry.name }}{{ trimSuffix "/" . }}/{{ end }}
{{- end }}

{{- define "upcall.image" -}}
{{- include "upcall.prefix" . }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "upcall.secret" -}}
{{- .Values.existingSecret | default (printf "%s-upcall" .Release.Name) }}
{{- end }}

{{/* Whether a server comes with the chart: "yes". It goes with the controllers. */}}
{{- define "upcall.bundled" -}}
{{- $root := first . -}}
{{- if not (index $root.Values (last .)).external }}{{ if $root.Values.controller.enabled }}yes{{ end }}{{ end }}
{{- end }}

{{- define "upcall.kafka" -}}
{{- if eq (include "upcall.bundled" (list . "kafka")) "yes" }}{{ .Release.Name }}-kafka.{{ .Release.Namespace }}:9092
{{- else }}{{ required "kafka.connect_string: where Kafka is, as host:port (kafka.external is true, or there are Invokers alone)" .Values.kafka.connect_string }}{{ end }}
{{- end }}

{{- define "upcall.zookeeper" -}}
{{- if .Values.zookeeper.connect_string }}{{ .Values.zookeeper.connect_string }}
{{- else }}{{ required "zookeeper.connect_string: invoker.daemonSet keeps the Invokers' numbers there" .Values.zookeeper.host }}:{{ .Values.zookeeper.port }}{{ end }}
{{- end }}

{{/* How actions reach the API. */}}
{{- define "upcall.api" -}}
{{- $given := .Values.whisk.ingress -}}
{{- if $given.apiHostName }}{{ $given.apiHostProto }}://{{ $given.apiHostName }}{{ with $given.apiHostPort }}:{{ . }}{{ end }}
{{- else if .Values.controller.enabled }}http://{{ .Release.Name }}-controller.{{ .Release.Namespace }}:8080
{{- else }}{{ fail "whisk.ingress.apiHostName: how actions reach the API that these Invokers are for" }}{{ end }}
{{- end }}

{{- define "upcall.selector" -}}
{{- $wanted := dict -}}
{{- if .Values.affinity.enabled }}{{ $wanted = dict "openwhisk-role" .Values.affinity.invokerNodeLabel }}{{ end -}}
{{- toJson (merge $wanted .Values.invoker.nodeSelector) }}
{{- end }}

{{- define "upcall.tolerations" -}}
{{- if .Values.toleration.enabled -}}
{{- toJson (list (dict "key" "openwhisk-role" "operator" "Equal" "value" .Values.toleration.invokerValue "effect" "NoSchedule")) }}
{{- end }}
{{- end }}

{{- define "upcall.affinity" -}}
{{- $usual := eq .Values.invoker.containerFactory.impl "docker" | ternary "required" "preferred" -}}
{{- $spread := .Values.invoker.spread | default $usual -}}
{{- if ne $spread "none" }}{{ include (printf "upcall.apart.%s" $spread) . }}{{ end }}
{{- end }}

{{- define "upcall.claims" -}}
{{- $root := first . -}}
{{- $kept := $root.Values.k8s.persistence -}}
{{- if $kept.enabled -}}
{{- $spec := dict "accessModes" (list "ReadWriteOnce") "resources" (dict "requests" (dict "storage" (index $root.Values (last .)).persistence.size)) -}}
{{- with $kept.explicitStorageClass }}{{ $_ := set $spec "storageClassName" . }}{{ end -}}
{{- toJson (list (dict "metadata" (dict "name" "data") "spec" $spec)) }}
{{- end }}
{{- end }}

{{/* Changes when a pod has to be started anew. */}}
{{- define "upcall.digest" -}}
{{- list (include "upcall.settings" .) (include "upcall.invoker" .) (include "upcall.api" .) .Values.db .Values.operator .Values.whisk.auth (include "upcall.kafka" .) | toJson | sha256sum | trunc 16 }}
{{- end }}
