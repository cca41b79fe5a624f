{{/* Variables of controllers and Invokers, as JSON: what OpenWhisk's chart makes of the same values. */}}
{{- define "upcall.settings" -}}
{{- $made := dict -}}
{{- $limits := .Values.whisk.limits -}}
{{- $names := dict "actionsInvokesPerminute" "LIMITS_ACTIONS_INVOKES_PERMINUTE" "actionsInvokesConcurrent" "LIMITS_ACTIONS_INVOKES_CONCURRENT" "triggersFiresPerminute" "LIMITS_TRIGGERS_FIRES_PERMINUTE" "actionsSequenceMaxlength" "LIMITS_ACTIONS_SEQUENCE_MAXLENGTH" -}}
{{- range $name, $variable := $names }}{{ include "upcall.put" (list $made $variable (get $limits $name)) }}{{ end -}}
{{- $actions := $limits.actions | default dict -}}
{{- range $name, $part := dict "time" "timeLimit" "memory" "memory" "concurrency" "concurrencyLimit" "log" "logLimit" -}}
{{- range $which := list "min" "max" "std" -}}
{{- include "upcall.put" (list $made (printf "CONFIG_whisk_%s_%s" $part $which) (get (get $actions $name | default dict) $which)) -}}
{{- end }}
{{- end -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_activation_payload_max" (((($limits.activation | default dict).payload) | default dict).max)) -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_kafka_replicationFactor" .Values.whisk.kafka.replicationFactor) -}}
{{- range $topic, $given := .Values.whisk.kafka.topics -}}
{{- if kindIs "map" $given -}}
{{- range $name, $value := $given }}{{ include "upcall.put" (list $made (printf "CONFIG_whisk_kafka_topics_%s_%s" $topic $name) $value) }}{{ end -}}
{{- else if eq $topic "prefix" }}{{ include "upcall.put" (list $made "CONFIG_whisk_kafka_topics_prefix" $given) }}{{ end -}}
{{- end -}}
{{- include "upcall.put" (list $made "RUNTIMES_MANIFEST" (hasPrefix "{" (trim .Values.whisk.runtimes) | ternary .Values.whisk.runtimes "")) -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_userEvents_enabled" (.Values.metrics.userMetricsEnabled | ternary "true" "")) -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_metrics_prometheusEnabled" .Values.metrics.prometheusEnabled) -}}
{{- include "upcall.put" (list $made "METRICS_KAMON_TAGS" .Values.metrics.kamonTags) -}}
{{- include "upcall.put" (list $made "CONTROLLER_OPTS" .Values.controller.options) -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_loadbalancer_blackboxFraction" .Values.whisk.loadbalancer.blackboxFraction) -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_loadbalancer_timeoutFactor" .Values.whisk.loadbalancer.timeoutFactor) -}}
{{- if and (or .Values.db.external (not .Values.controller.enabled)) (not .Values.db.url) (not .Values.existingSecret) -}}
{{- $host := required "db.host: where CouchDB is (db.external is true, or there are Invokers alone); or give db.url, or existingSecret" .Values.db.host -}}
{{- $couch := dict "protocol" .Values.db.protocol "host" $host "port" .Values.db.port "databases_WhiskAuth" .Values.db.authsTable "databases_WhiskEntity" .Values.db.actionsTable "databases_WhiskActivation" .Values.db.activationsTable -}}
{{- range $name, $value := $couch }}{{ include "upcall.put" (list $made (printf "CONFIG_whisk_couchdb_%s" $name) $value) }}{{ end -}}
{{- end -}}
{{- range $name, $value := .Values.settings }}{{ $_ := set $made $name (toString $value) }}{{ end -}}
{{- toJson $made }}
{{- end }}

{{/* Of Invokers alone, as JSON. */}}
{{- define "upcall.invoker" -}}
{{- $made := dict -}}
{{- $factory := .Values.invoker.containerFactory -}}
{{- include "upcall.put" (list $made "INVOKER_OPTS" .Values.invoker.options) -}}
{{- include "upcall.put" (list $made "JAVA_OPTS" .Values.invoker.jvmOptions) -}}
{{- include "upcall.put" (list $made "CONFIG_logback_log_level" (ne .Values.invoker.loggingLevel "INFO" | ternary .Values.invoker.loggingLevel "")) -}}
{{- if $factory.enableConcurrency }}{{ include "upcall.put" (list $made "CONFIG_whisk_containerFactory_containerArgs_extraEnvVars_0" "__OW_ALLOW_CONCURRENT=true") }}{{ end -}}
{{- if ne $factory.impl "process" }}{{ include "upcall.put" (list $made "CONFIG_whisk_containerFactory_containerArgs_network" (eq $factory.impl "docker" | ternary $factory.networkConfig.name "")) }}{{ end -}}
{{- if eq $factory.impl "kubernetes" -}}
{{- $place := "CONFIG_whisk_kubernetes_userPodNodeAffinity" -}}
{{- $labels := include "upcall.selector" . | fromJson -}}
{{- if not $labels }}{{ include "upcall.put" (list $made (printf "%s_enabled" $place) "false") }}
{{- else }}
{{- $key := keys $labels | sortAlpha | first -}}
{{- include "upcall.put" (list $made (printf "%s_key" $place) $key) -}}
{{- include "upcall.put" (list $made (printf "%s_value" $place) (get $labels $key)) -}}
{{- end -}}
{{- include "upcall.put" (list $made "CONFIG_whisk_runtime_delete_timeout" .Values.invoker.runtimeDeleteTimeout) -}}
{{- end -}}
{{- toJson $made }}
{{- end }}

{{/* A value that is given goes into the dictionary; numbers are written out. */}}
{{- define "upcall.put" -}}
{{- $value := index . 2 -}}
{{- if kindIs "float64" $value }}{{ $value = int64 $value }}{{ end -}}
{{- if and (not (kindIs "invalid" $value)) (ne (toString $value) "") }}{{ $_ := set (index . 0) (index . 1) (toString $value) }}{{ end -}}
{{- end }}
