"""What can be wrong with a cluster and a deployment in it (spec: kubernetes.md §3, §10: K8S)."""

from upcall.doctor.finding import Failure

CLUSTERS = (
    Failure(
        id="K8S-01",
        severity="error",
        symptom="0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector",
        cause="No node has the label that the Invoker asks for ({label}).",
        fix="kubectl label node NODE {label}, or a manifest without a selector (upcall manifests, without "
        "--node-selector).",
        words={"label": "openwhisk-role=invoker"},
        sources=("cluster", "text"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/437",),
        patterns=(
            r"didn'?t match (?:pod'?s )?node (?:affinity|selector)",
            r"matchnodeselector|predicate nodeaffinity failed",
        ),
    ),
    Failure(
        id="K8S-02",
        severity="error",
        symptom="node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }",
        cause="The nodes that would be right have a taint that the pod does not tolerate: {taint}.",
        fix="Tolerate it (upcall manifests --toleration KEY=VALUE:NoSchedule), or remove it: kubectl taint node NODE "
        "KEY:NoSchedule-.",
        words={"taint": "kubectl describe node shows it"},
        sources=("cluster", "text"),
        patterns=(
            r"had untolerated taint(?:\(s\)| \{(?!node\.kubernetes\.io/disk-pressure)(?P<taint>[^}]+)\})",
            r"had taints? \{(?P<taint>[^}]+)\}, that the pod didn'?t tolerate",
            r"had taints that the pod didn'?t tolerate",
            r"podtoleratesnodetaints",
        ),
    ),
    Failure(
        id="K8S-03",
        severity="error",
        symptom="replicas, INVOKER_INSTANCES and INVOKER_COUNT are not the same",
        cause="The number of Invokers is said in several places, differently: {numbers}.",
        fix="Put the same number everywhere, or leave the variables away: upcall's Invoker reads `replicas` of its "
        "StatefulSet.",
        words={"numbers": "replicas, INVOKER_INSTANCES, INVOKER_COUNT"},
        sources=("configuration", "cluster"),
    ),
    Failure(
        id="K8S-04",
        severity="error",
        symptom='java.lang.NumberFormatException: For input string: "invoker"',
        cause="The Invoker's number is taken from the wrong part of the pod's name: the name before it has a hyphen.",
        fix="Take what is behind the last hyphen: ${{HOSTNAME##*-}}. upcall's Invoker does so by itself.",
        sources=("configuration", "text"),
        patterns=(
            r"numberformatexception: for input string: \\?\"[a-z][\w-]*\\?\"",
            r"invalid literal for int\(\) with base 10: '[\w-]*invoker[\w-]*'",
            r"'[^']*' is no number of an invoker",
        ),
    ),
    Failure(
        id="K8S-05",
        severity="error",
        symptom="pod has unbound immediate PersistentVolumeClaims",
        cause="A PersistentVolumeClaim is not bound: {why}.",
        fix="Name a StorageClass (upcall manifests --volume CLASS), make one the default, or do without (no --volume; "
        "of upstream's chart: k8s.persistence.enabled=false).",
        words={"why": "there is no default StorageClass, or nothing provides volumes of it"},
        sources=("cluster", "text"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/577",),
        patterns=(
            r"unbound (?:immediate )?persistentvolumeclaims?",
            r"no persistent volumes available for this claim and no storage class is set",
            r"persistentvolumeclaim (?:is not bound|\S+ not found)",
            r"storageclass\S* \\?\"(?P<why>[^\"\\]+)\\?\" not found",
        ),
    ),
    Failure(
        id="K8S-06",
        severity="error",
        symptom="the controller restarts before it reports its topic completed0",
        cause="A pod does not reach itself by its own Service (hairpin traffic is off).",
        fix="Set the kubelet's hairpinMode to hairpin-veth (or the bridge to promiscuous), or have Kafka advertise its "
        "pod's own name.",
        sources=("dependency",),
    ),
    Failure(
        id="K8S-07",
        severity="error",
        symptom='host not found in resolver "kube-dns.kube-system"',
        cause="The cluster's DNS Service has another name than {name}.",
        fix="Give nginx the name server of /etc/resolv.conf (of upstream's chart: k8s.dns); kubectl -n kube-system get "
        "service shows the name.",
        words={"name": "the one that is asked"},
        sources=("cluster", "text"),
        patterns=(r"host not found in resolver \\?\"(?P<name>[^\"\\]+)",),
    ),
    Failure(
        id="K8S-08",
        severity="error",
        symptom='no matches for kind "PodDisruptionBudget" in version "policy/v1beta1"',
        cause="The manifest asks for {kind} in a version that this Kubernetes does not have any more ({version}).",
        fix="Make the manifest anew with upcall manifests (policy/v1), or change its apiVersion; kubectl api-versions "
        "shows what there is.",
        words={"kind": "an object", "version": "policy/v1beta1 ended with 1.25"},
        sources=("cluster", "text"),
        patterns=(
            r"no matches for kind \\?\"(?P<kind>\w+)\\?\" in version \\?\"(?P<version>[\w./]+)",
            r"no matches for (?P<version>[\w.]+)/, kind=(?P<kind>\w+)",
        ),
    ),
    Failure(
        id="K8S-09",
        severity="error",
        symptom='pods is forbidden: User "system:serviceaccount:…" cannot create resource "pods"',
        cause="The Invoker's service account may not {verb} {resource} in its namespace.",
        fix="Apply the Role and RoleBinding that `upcall manifests --driver kubernetes` writes.",
        words={"verb": "do what it has to do with", "resource": "pods"},
        sources=("cluster", "text"),
        patterns=(
            r"is forbidden: user \\?\"system:serviceaccount:[^\"\\]+\\?\" cannot (?P<verb>\w+) resource "
            r"\\?\"(?P<resource>[\w/]+)",
            r"forbidden[^\n]*cannot (?P<verb>create|delete|list|get|watch|patch) (?P<resource>pods\S*) in the namesp",
        ),
    ),
    Failure(
        id="K8S-10",
        severity="error",
        symptom="ImagePullBackOff, ErrImagePull",
        cause="The node cannot fetch the image {image}: its name is wrong, the registry wants credentials, or limits "
        "how often it may be asked.",
        fix="See that the name is right; give credentials (upcall manifests --pull-secret NAME; for actions "
        "--registry-credentials); on nodes without a registry load the image (kind load docker-image IMAGE).",
        words={"image": "of a pod"},
        sources=("cluster", "text"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/528",),
        patterns=(
            r"(?:back-off|failed to) pull(?:ing)? image \\?\"(?P<image>[^\"\\]+)(?![^\n]*no matching manifest)",
            r"pull access denied for (?P<image>[^\s,]+)",
            r"manifest for (?P<image>\S+) not found",
            r"imagepullbackoff|errimagepull|invalidimagename",
            r"toomanyrequests: you have reached your[^\n]*pull rate limit",
        ),
    ),
    Failure(
        id="K8S-11",
        severity="error",
        symptom="Timed out waiting for [0] milliseconds for [Pod] with name: […]",
        cause="Pods of actions do not come up as fast as they are asked for: the API server or the kubelet is behind.",
        fix="Have generic pods ready (prewarmed containers in the runtimes manifest), bound the rate of creation, or "
        "run actions in the Invoker's own pod: upcall manifests --driver process.",
        sources=("cluster", "text"),
        patterns=(
            r"timed out waiting for \[\d+\] milliseconds for \[pod\]",
            r"throttling[^\n]*request: post:\S*/pods",
        ),
    ),
    Failure(
        id="K8S-12",
        severity="error",
        symptom="There are no invokers available; install-packages stays at Init:0/1",
        cause="No Invoker passes its health test: {why}.",
        fix="Read the Invoker's log from the first error on (upcall doctor --canary runs the test action and names the "
        "first step that fails); logs that cannot be read are the most frequent cause (HOST-07).",
        words={"why": "the test action fails, or its Invoker does not reach Kafka"},
        sources=("cluster", "canary", "text"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/466",),
        patterns=(
            r"no invokers available",
            r"install-packages\S* +0/1 +init:0/1 +\d+(?: \([^)]*\))? +(?:\d{2,}m|\d+[hd])",
        ),
    ),
    Failure(
        id="K8S-13",
        severity="warning",
        symptom="an Invoker is healthy, and all activations that it gets fail",
        cause="A ping says that the Invoker is there, not that it can run anything: {why}.",
        fix="upcall's Invoker runs a test activation before it says that it is ready; see what it says on /ready.",
        words={"why": "its last activations failed"},
        sources=("canary",),
        see=("https://github.com/apache/openwhisk/issues/4988",),
    ),
    Failure(
        id="K8S-14",
        severity="warning",
        symptom="never more than 8 activations at a time",
        cause="An Invoker has {memory} MB for actions: {count} of 256 MB at a time.",
        fix="Give it more (upcall manifests --memory, CONFIG_whisk_containerPool_userMemory): memory for actions / "
        "memory of an action = activations at a time; or more Invokers.",
        words={"memory": "2048", "count": "8"},
        sources=("cluster",),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/728",),
    ),
    Failure(
        id="K8S-15",
        severity="warning",
        symptom="calls time out when an Invoker's pod is deleted",
        cause="{pod} is killed {grace} s after it is told to stop, and actions may run longer; what runs is lost.",
        fix="Add a preStop hook that drains (upcall manifests writes one) and set terminationGracePeriodSeconds to the "
        "longest action and 30 s more.",
        words={"pod": "The Invoker's pod", "grace": "30"},
        sources=("configuration", "cluster"),
        see=("https://github.com/apache/openwhisk/issues/5509",),
    ),
    Failure(
        id="K8S-16",
        severity="warning",
        symptom="pods wsk… are left when their Invoker is gone",
        cause="Pods of actions have outlived their Invoker: {pods}.",
        fix="kubectl delete pod -l user-action-pod=true,invoker=NAME; upcall's are removed by Kubernetes with their "
        "Invoker (ownerReferences).",
        words={"pods": "labels of an Invoker that is no more"},
        sources=("cluster",),
    ),
    Failure(
        id="K8S-17",
        severity="warning",
        symptom="logs of activations are missing or late",
        cause="Logs are read over an API that is late, or cut after 2 s.",
        fix="Have the Invoker read them itself: drivers process and docker own their pipes, the driver kubernetes is "
        "attached to its pods.",
        sources=("canary", "text"),
        see=("https://github.com/apache/openwhisk/issues/5168",),
        patterns=(r"there was an issue while collecting your logs", r"failed to collect logs|logcollectingexception"),
    ),
    Failure(
        id="K8S-18",
        severity="error",
        symptom="init-couchdb does not end",
        cause="The job that sets CouchDB up clones a repository, and does not get out; or CouchDB is slow to answer.",
        fix="Give the job its proxy (https_proxy), or set the databases up with upcall, which brings its own design "
        "documents: upcall serve --store couchdb://….",
        sources=("cluster", "text"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/755",),
        patterns=(r"fatal: unable to access 'https://(?:www\.)?github\.com/apache/openwhisk\S*'",),
    ),
    Failure(
        id="K8S-19",
        severity="warning",
        symptom="Package update failed: Put https://…: no such host",
        cause="The API's address ({host}) cannot be reached from inside of the cluster.",
        fix="Name an address that pods resolve: whisk.ingress.apiHostName of upstream's chart, --api-host of upcall "
        "manifests.",
        words={"host": "apiHost"},
        sources=("dependency", "text"),
        patterns=(
            r"package update failed: put \\?\"?https?://(?P<host>[^/\s\"\\]+)",
            r"(?:unable to|cannot) (?:create|update|invoke) .*https?://(?P<host>[^/\s\"]+)/api/v1.*no such host",
        ),
    ),
    Failure(
        id="K8S-20",
        severity="warning",
        symptom="only one Invoker gets work",
        cause="Actions of images of their own (blackbox) go to a tenth of the Invokers: {count} of {all}.",
        fix="Raise CONFIG_whisk_loadbalancer_blackboxFraction (and lower managedFraction), or add Invokers.",
        words={"count": "one", "all": "them"},
        sources=("cluster", "configuration"),
    ),
    Failure(
        id="K8S-21",
        severity="error",
        symptom="actions of a controller that runs them itself (lean) time out",
        cause="The NetworkPolicy {policy} lets only Invokers by one name to the pods of actions.",
        fix="Have the policy admit by role: upcall manifests writes one that goes by labels of both.",
        words={"policy": "of the pods of actions"},
        sources=("cluster",),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/739",),
    ),
    Failure(
        id="K8S-22",
        severity="warning",
        symptom="pods start slowly in a namespace with many Services",
        cause="{count} Services are put into the variables of each pod.",
        fix="Set enableServiceLinks: false in the pod (upcall manifests does).",
        words={"count": "Many"},
        sources=("cluster",),
        see=("https://github.com/knative/serving/issues/8498",),
    ),
    Failure(
        id="K8S-23",
        severity="warning",
        symptom="two Invokers have the same number",
        cause="{owners} have one number: ZooKeeper was emptied while they ran, or numbers were given by hand.",
        fix="Use a StatefulSet, where the ordinal is the number, or give the number anew: upcall invoker "
        "--overwriteId N.",
        words={"owners": "Two Invokers"},
        sources=("cluster",),
    ),
    Failure(
        id="K8S-24",
        severity="warning",
        symptom="Liveness probe failed; the container is restarted while it starts",
        cause="The liveness probe of {pod} is not answered in time, and Kubernetes restarts it.",
        fix="Give it a startupProbe and a longer period (upcall manifests has both); see in its log what keeps it.",
        words={"pod": "a pod"},
        sources=("cluster", "text"),
        patterns=(
            r"liveness probe failed",
            r"container \S* ?failed liveness probe",
            r"probetype=\"liveness\"[^\n]*proberesult=\"?failure",
        ),
    ),
)
