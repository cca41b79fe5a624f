"""What can be wrong with a host, a node of a cluster too (spec: kubernetes.md §9, §10: HOST)."""

from upcall.doctor.finding import Failure

HOSTS = (
    Failure(
        id="HOST-01",
        severity="error",
        symptom="mkdir /usr/lib/x86_64-linux-gnu: read-only file system",
        cause=(
            "The manifest mounts {path} of the node, which is not there, and the engine cannot make it because that "
            "file system is read-only (CoreOS, Flatcar and others keep /usr so)."
        ),
        fix="Delete the {volume} from the manifest{lines}. {loss}",
        words={
            "path": "a path",
            "volume": "volume with that path, and its mount,",
            "lines": "",
            "loss": "`upcall manifests` makes one for this host: it mounts only what the driver needs.",
        },
        sources=("text", "node"),
        see=("https://github.com/apache/openwhisk-deploy-kube/issues/12",),
        patterns=(r"mkdir (?P<path>/[^\s:'\"]+):? read-only file system",),
    ),
    Failure(
        id="HOST-02",
        severity="warning",
        symptom="error while loading shared libraries: libapparmor.so.1",
        cause=(
            "{path} is a directory on the node, or is missing: an engine made it for a mount of a file that was not "
            "there, and programs that load the library fail."
        ),
        fix="Remove the empty directory on the node (rmdir {path}), and the mount of it from the manifest.",
        words={"path": "/usr/lib/x86_64-linux-gnu/libapparmor.so.1"},
        sources=("node", "text"),
        patterns=(
            r"loading shared libraries: libapparmor\.so\.1",
            r"libapparmor\.so\.1: (?:cannot (?:open|read)|is a directory)",
            r"mount[^\n]{0,300}?(?P<path>/[^\s:\"']*libapparmor\.so\.1)[^\n]*not a directory",
            r"hostPath type check failed: (?P<path>\S*libapparmor\.so\.1) is not a file",
        ),
    ),
    Failure(
        id="HOST-03",
        severity="error",
        symptom="hostPath type check failed: /var/run/docker.sock is not a socket file",
        cause=(
            "There is no Docker on {node}: since Kubernetes 1.24 nodes run containers by containerd or CRI-O, whose "
            "sockets are others."
        ),
        fix=(
            "Take the driver kubernetes (actions in pods) or process (in the Invoker's own pod): upcall manifests "
            "--driver kubernetes. On a machine of yours start Docker, or take --driver process."
        ),
        words={"node": "this host"},
        sources=("cluster", "node", "text"),
        see=("https://github.com/awslabs/amazon-eks-ami/issues/1024",),
        patterns=(
            r"hostPath type check failed: \S*docker\.sock is not a socket file",
            r"cannot connect to the docker daemon",
            r"dial unix \S*docker\.sock: connect: (?:no such file or directory|connection refused)",
            r"docker\.sock['\"]?:? no such file or directory",
        ),
    ),
    Failure(
        id="HOST-04",
        severity="error",
        symptom="/var/run/docker.sock is a directory",
        cause="{path} is a directory: a hostPath without a type made it when Docker was not running.",
        fix="Stop what mounts it, rmdir {path}, start Docker again; give the hostPath `type: Socket`.",
        words={"path": "/var/run/docker.sock"},
        sources=("node", "text"),
        patterns=(
            r"(?P<path>/\S*docker\.sock['\"]?):? is a directory",
            r"can't create unix socket (?P<path>/\S*docker\.sock): is a directory",
            r"listening socket \((?P<path>/\S*docker\.sock)\): is a directory",
            r"mounting \"(?P<path>/[^\s\"\\]*docker\.sock)[^\n]*not a directory",
        ),
    ),
    Failure(
        id="HOST-05",
        severity="error",
        symptom="permission denied while trying to connect to the Docker daemon socket",
        cause="The Invoker may not use {path}: its user is not in the socket's group{group}, or SELinux forbids it.",
        fix=(
            "Put the socket's group into the pod: supplementalGroups: [GID] (upcall manifests --docker-group GID); "
            "where SELinux enforces, seLinuxOptions with type spc_t. On your own machine: usermod -aG docker USER."
        ),
        words={"path": "the Docker socket", "group": ""},
        sources=("node", "text"),
        patterns=(
            r"permission denied[^\n]*(?P<path>/\S*docker\.sock)",
            r"(?P<path>/\S*docker\.sock): (?:connect: )?permission denied",
            r"permission denied while trying to connect to the docker",
            r"connect eacces (?P<path>/\S*docker\.sock)",
            r"avc: +denied [^\n]*path=\"(?P<path>/[^\s\"\\]*docker\.sock)",
        ),
    ),
    Failure(
        id="HOST-06",
        severity="error",
        symptom="client version 1.43 is too new. Maximum supported API version is 1.41",
        cause="The Docker client and the engine have no API version in common: the client speaks {client}.",
        fix=(
            "Set DOCKER_API_VERSION={supported} for the client, or update the older one. upcall's Invoker agrees with "
            "the engine by itself; it takes DOCKER_API_VERSION, too."
        ),
        words={"client": "another one", "supported": "VERSION"},
        sources=("text", "node"),
        patterns=(
            r"client version (?P<client>[\d.]+\d) is too (?:new|old)\. (?:max|min)imum supported api version is "
            r"(?P<supported>[\d.]+\d)",
            r"client is newer than server \(client API version: (?P<client>[\d.]+\d), "
            r"server API version: (?P<supported>[\d.]+\d)\)",
        ),
    ),
    Failure(
        id="HOST-07",
        severity="warning",
        symptom="every container is removed after one run; logs of activations are empty",
        cause=(
            "The Invoker cannot read the logs of its containers at {path}: another data folder of Docker (data-root, "
            "Docker in Docker), or another log driver than json-file."
        ),
        fix=(
            "Mount the folder that `docker info --format '{{{{.DockerRootDir}}}}/containers'` names, or have logs read "
            "over the engine's API (upcall's usual way: no folder is needed)."
        ),
        words={"path": "the folder that is mounted"},
        sources=("node", "text", "canary"),
        see=("https://github.com/apache/openwhisk/issues/5406",),
        patterns=(
            r"(?P<path>/containers/[0-9a-f]{12,}\S*-json\.log)[^\n]*(?:no such file|nosuchfile)",
            r"nosuchfileexception: (?P<path>/containers/\S+)",
            r"configured logging driver does not support reading",
            r"failed to read logs?[^\n]*-json\.log",
            r"\"logs\" command is supported only for \"json-file",
        ),
    ),
    Failure(
        id="HOST-08",
        severity="warning",
        symptom="runc pause fails, the container is removed, no activation is warm",
        cause="runc's version is not the engine's, or the pod is not privileged, or the node has cgroup v2.",
        fix=(
            "Have the engine pause containers (CONFIG_whisk_docker_containerFactory_useRunc=false; upcall always does) "
            "and delete the mounts of /run/runc and /sys/fs/cgroup."
        ),
        sources=("node", "text"),
        see=("https://github.com/apache/openwhisk/issues/1982",),
        patterns=(
            r"(?:docker-)?runc (?:pause|resume)[^\n]*(?:fail|error|exit(?:ed)?(?: with)?(?: status| code)? [1-9])",
            r"runc[^\n]*container[^\n]*does not exist",
            r"failed to pause container[^\n]*freezer",
        ),
    ),
    Failure(
        id="HOST-09",
        severity="error",
        symptom="kernel memory accounting disabled in this runc build",
        cause="The engine's runc asks for kernel memory accounting or a cgroup that this kernel does not have.",
        fix="Update runc (containerd.io); upcall's own drivers ask for neither.",
        sources=("text",),
        patterns=(
            r"kernel memory accounting (?:is )?disabled",
            r"kernel memory accounting[^\n]*not supported",
            r"open(?:at2?)? /sys/fs/cgroup\S*[^\n]*no such file",
            r"cgroup mountpoint does not exist|mountpoint for \w+ cgroup not found",
        ),
    ),
    Failure(
        id="HOST-10",
        severity="warning",
        symptom="daemons of the node are killed for want of memory; nodes become NotReady",
        cause="Actions may take {wanted} MB, and {node} has {there} MB to give: the kubelet does not count containers "
        "that are made behind its back.",
        fix=(
            "Give the Invoker less (CONFIG_whisk_containerPool_userMemory, --memory), and its pod a request of that "
            "much and its own need; upcall manifests writes both."
        ),
        words={"wanted": "more", "node": "a node", "there": "fewer"},
        sources=("cluster", "text"),
        patterns=(
            r"system oom encountered, victim process: (?:kubelet|dockerd|containerd)",
            r"out of memory: kill(?:ed)? process \d+ \((?:kubelet|dockerd|containerd)\)",
            r"oom-kill:[^\n]*task=(?:kubelet|dockerd|containerd),",
        ),
    ),
    Failure(
        id="HOST-11",
        severity="error",
        symptom="exec format error",
        cause="The image is for another processor than the node's ({arch}).",
        fix=(
            "Take an image for both (docker manifest inspect IMAGE shows which it has), nodes of its architecture "
            "(nodeSelector kubernetes.io/arch), or the driver process, which needs no images."
        ),
        words={"arch": "amd64 and arm64 most often"},
        sources=("cluster", "text"),
        see=("https://github.com/apache/openwhisk/issues/3172",),
        patterns=(
            r"exec format error",
            r"no matching manifest for (?P<arch>\S+) in the manifest list",
            r"image's platform \(\S+\) does not match the detected host platform \((?P<arch>[^)\s]+)\)",
        ),
    ),
    Failure(
        id="HOST-12",
        severity="warning",
        symptom="The node was low on resource: ephemeral-storage; DiskPressure",
        cause="The disk of {node} is nearly full: images and logs of containers grow.",
        fix="Remove unused images (docker image prune, crictl rmi --prune), bound logs (max-size), or add disk.",
        words={"node": "a node"},
        sources=("cluster", "node", "text"),
        patterns=(
            r"low on resource: (?:ephemeral-storage|imagefs|nodefs|inodes)",
            r"node has diskpressure|nodehasdiskpressure|had diskpressure|condition: \[diskpressure\]",
            r"untolerated taint \{node\.kubernetes\.io/disk-pressure",
            r"failed to garbage collect required amount of images",
            r"(?<!namespace failed: )(?<!watch failed: )no space left on device(?! \(user limit on inotify)",
        ),
    ),
    Failure(
        id="HOST-13",
        severity="error",
        symptom='violates PodSecurity "baseline:latest": hostPath volumes',
        cause="The cluster does not let the pod have what it asks for: {what}.",
        fix=(
            "Label the namespace (kubectl label namespace NAME pod-security.kubernetes.io/enforce=privileged; on "
            "OpenShift: a SecurityContextConstraint), or take a driver that asks for nothing of that kind: upcall "
            "manifests --driver kubernetes."
        ),
        words={"what": "rights or paths of the node"},
        sources=("cluster", "text"),
        patterns=(
            r"violates podsecurity [\\\"']*(?P<level>\w+):\S+?: (?P<what>[^\n(]+)",
            r"unable to validate against any security context constraint",
            r"hostpath volumes are not allowed to be used",
            r"privileged containers are not allowed",
        ),
    ),
    Failure(
        id="HOST-14",
        severity="warning",
        symptom="too many open files; Resource temporarily unavailable",
        cause="A limit of the host is reached: {limit}.",
        fix="Raise it: {setting}.",
        words={
            "limit": "open files, processes or inotify instances",
            "setting": "sysctl fs.inotify.max_user_instances=8192 fs.file-max=1000000 kernel.pid_max=4194304, and "
            "LimitNOFILE= of the service",
        },
        sources=("node", "text"),
        patterns=(
            r"too many open files",
            r"(?:fork|clone|pthread_create|start(?:ing)? (?:a )?(?:new )?thread|runtime/cgo)[^\n]*"
            r"resource temporarily unavailable",
            r"inotify[^\n]*(?:no space left on device|limit (?:on|of) [^\n]*(?:reached|exceeded))",
            r"unable to create (?:new )?native thread|pthread_create failed \(eagain\)",
        ),
    ),
    Failure(
        id="HOST-15",
        severity="warning",
        symptom="activations in the future; certificate is not yet valid",
        cause="The clock of {node} is {off} off.",
        fix="Have the host's clock set by NTP (timedatectl set-ntp true; chronyc makestep).",
        words={"node": "a host", "off": "some time"},
        sources=("node", "text"),
        patterns=(
            r"certificate has expired or is not yet valid(?!: current time \S+ is(?: +after|$))",
            r"certificate is not yet valid|certificatenotyetvalid|cert_not_yet_valid",
            r"system clock wrong by (?P<off>-?\d{2,}\.\d+ s)econds",
        ),
    ),
    Failure(
        id="HOST-16",
        severity="error",
        symptom='NullPointerException: Cannot invoke "…CgroupInfo.getMountPoint()" because "anyController" is null',
        cause="An old JDK (in Kafka's, ZooKeeper's or the controller's image) meets a kernel of 6.12 or later that has "
        "cgroup v2 only.",
        fix="Take an image with a newer JDK, or give that container JAVA_TOOL_OPTIONS=-XX:-UseContainerSupport. "
        "upcall has no JVM and is not concerned.",
        sources=("node", "text"),
        see=("https://github.com/apache/openserverless/issues/193",),
        patterns=(r"cgroupv2subsystem\.getinstance", r"\"?anycontroller\"? is null"),
    ),
)
