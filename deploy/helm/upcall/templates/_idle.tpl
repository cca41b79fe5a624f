{{/* Values of OpenWhisk's chart that were given and do nothing here, with the reason; JSON. */}}
{{- define "upcall.idle" -}}
{{- $told := list -}}
{{- $why := dict
  "nginx" "controllers answer themselves; put an Ingress before them (whisk.ingress.type Standard)"
  "redis" "nothing here needs it"
  "apigw" "there is no API gateway"
  "providers" "event providers are not part of this chart"
  "scheduler" "there is no function-pulling scheduler: controllers choose Invokers"
  "etcd" "there is no function-pulling scheduler"
  "elasticsearch" "records are in the database"
  "activationStoreBackend" "records are in the database"
  "utility" "nothing waits in init containers, or installs at run time"
  "busybox" "nothing waits in init containers"
  "probes" "probes are set as the platform needs them"
  "pdb" "there is always one, of Invokers"
  "grafana" "metrics are at GET /metrics"
  "prometheus" "metrics are at GET /metrics"
  "tls" "see whisk.ingress.tls" -}}
{{- range $name, $reason := $why }}{{ if hasKey $.Values $name }}{{ $told = append $told (printf "%s: %s" $name $reason) }}{{ end }}{{ end -}}
{{- $inner := dict
  "invoker.imageName" "the image is image.repository"
  "invoker.imageTag" "the image's tag is image.tag"
  "invoker.jvmHeapMB" "there is no JVM; memory is whisk.containerPool.userMemory"
  "controller.imageName" "the image is image.repository"
  "controller.imageTag" "the image's tag is image.tag"
  "controller.jvmHeapMB" "there is no JVM"
  "controller.jvmOptions" "there is no JVM; -Dkey=value goes into controller.options"
  "controller.lean" "Invokers are pods of their own; the platform in one pod is deploy/upcall.yml"
  "db.wipeAndInit" "what is missing in the database is made, and nothing is removed"
  "db.provider" "CouchDB and Cloudant are spoken to alike"
  "kafka.replicaCount" "one broker comes with the chart; for more set kafka.external"
  "metrics.kamonEnabled" "metrics are fetched (GET /metrics), not sent"
  "whisk.auth.system" "there is no system package to install"
  "whisk.ingress.awsSSL" "Ingress and load balancer are yours to set up"
  "k8s.dns" "the pods' resolver is used" -}}
{{- range $path, $reason := $inner -}}
{{- $at := $.Values -}}
{{- range splitList "." $path }}{{ $at = kindIs "map" $at | ternary (get (kindIs "map" $at | ternary $at dict) .) "" }}{{ end -}}
{{- if and (not (kindIs "invalid" $at)) (ne (toString $at) "") }}{{ $told = append $told (printf "%s: %s" $path $reason) }}{{ end -}}
{{- end -}}
{{- if and .Values.zookeeper.replicaCount (not .Values.invoker.daemonSet) }}{{ $told = append $told "zookeeper: Invokers have their numbers from the names of their pods" }}{{ end -}}
{{- if and .Values.whisk.runtimes (not (hasPrefix "{" (trim .Values.whisk.runtimes))) }}{{ $told = append $told (printf "whisk.runtimes %s: it is the manifest itself here, as --set-file whisk.runtimes=FILE gives it" .Values.whisk.runtimes) }}{{ end -}}
{{- if and .Values.invoker.containerFactory.useRunc }}{{ $told = append $told "invoker.containerFactory.useRunc: containers are paused without runc" }}{{ end -}}
{{- if and .Values.affinity.enabled .Values.controller.enabled }}{{ $told = append $told "affinity.coreNodeLabel and its like: only Invokers are placed by labels; nodeSelector places the others" }}{{ end -}}
{{- toJson $told }}
{{- end }}
