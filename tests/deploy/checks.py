# SPDX-License-Identifier: Apache-2.0
"""What the Kubernetes schemas cannot know about deploy/.

Every check takes plain data and returns a list of problems, one line each.
"""

import re

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")


def name_of(document):
    return f"{document['kind']}/{document['metadata']['name']}"


def pod_template(document):
    """The pod template of a workload, or None for other kinds."""
    if document["kind"] in ("Deployment", "Job"):
        return document["spec"]["template"]
    return None


def containers(document):
    template = pod_template(document)
    return template["spec"]["containers"] if template else []


def resource_problems(document):
    """Limits on CPU and memory; memory's request is its limit."""
    for container in containers(document):
        where = f"{name_of(document)} {container['name']}"
        resources = container.get("resources", {})
        limits = resources.get("limits", {})
        for what in ("cpu", "memory"):
            if what not in limits:
                yield f"{where}: no limit on {what}"
        if resources.get("requests", {}).get("memory") != limits.get("memory"):
            yield f"{where}: memory's request is not its limit"


def security_problems(document):
    """The restricted pod security standard, and a read-only root."""
    template = pod_template(document)
    if template is None:
        return
    pod = template["spec"].get("securityContext", {})
    where = name_of(document)
    if pod.get("runAsNonRoot") is not True or pod.get("runAsUser", 0) == 0:
        yield f"{where}: runs as root"
    if pod.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield f"{where}: seccomp profile is not RuntimeDefault"
    if template["spec"].get("automountServiceAccountToken") is not False:
        yield f"{where}: mounts a service account's token"
    for container in containers(document):
        context = container.get("securityContext", {})
        place = f"{where} {container['name']}"
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{place}: may gain privileges"
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{place}: root file system is writable"
        if context.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{place}: keeps capabilities"


def probe_problems(document):
    """Servers have all three probes, on ports that they declare."""
    if document["kind"] != "Deployment":
        return
    for container in containers(document):
        ports = {port["containerPort"] for port in container.get("ports", [])}
        for probe in PROBES:
            where = f"{name_of(document)} {container['name']} {probe}"
            if probe not in container:
                yield f"{where}: missing"
            elif container[probe].get("grpc", {}).get("port") not in ports:
                yield f"{where}: not a gRPC probe of a declared port"


def selector_problems(documents):
    """Selectors choose pods, and Services' ports exist on them."""
    deployments = [d for d in documents if d["kind"] == "Deployment"]
    for deployment in deployments:
        labels = pod_template(deployment)["metadata"]["labels"].items()
        selectors = [deployment["spec"]["selector"]["matchLabels"]]
        spec = pod_template(deployment)["spec"]
        for constraint in spec.get("topologySpreadConstraints", []):
            selectors.append(constraint["labelSelector"]["matchLabels"])
        for selector in selectors:
            if not selector.items() <= labels:
                yield f"{name_of(deployment)}: {selector} misses its own pods"
    for service in documents:
        if service["kind"] != "Service":
            continue
        chosen = [
            d for d in deployments if service["spec"]["selector"].items() <=
            pod_template(d)["metadata"]["labels"].items()
        ]
        if not chosen:
            yield f"{name_of(service)}: selects no pod"
        names = {
            port["name"]
            for deployment in chosen for container in containers(deployment)
            for port in container.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            if port.get("targetPort", port["port"]) not in names:
                yield f"{name_of(service)}: no container port {port}"


def reference_problems(documents, generated):
    """What pods refer to is there; `generated`: names of ConfigMaps."""
    named = {(d["kind"], d["metadata"]["name"]) for d in documents}
    named |= {("ConfigMap", name) for name in generated}
    for document in documents:
        template = pod_template(document)
        if template is None:
            continue
        spec = template["spec"]
        wanted = []
        if "serviceAccountName" in spec:
            wanted.append(("ServiceAccount", spec["serviceAccountName"]))
        for volume in spec.get("volumes", []):
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                wanted.append(("PersistentVolumeClaim", claim))
        volumes = {volume["name"] for volume in spec.get("volumes", [])}
        for container in containers(document):
            for source in container.get("envFrom", []):
                wanted.append(("ConfigMap", source["configMapRef"]["name"]))
            for mount in container.get("volumeMounts", []):
                if mount["name"] not in volumes:
                    yield f"{name_of(document)}: no volume {mount['name']}"
        for kind, name in wanted:
            if (kind, name) not in named:
                yield f"{name_of(document)}: there is no {kind} {name}"


def drain_problems(deployment, environment):
    """The kubelet waits for the drain's two times and 10 s more."""
    grace = pod_template(deployment)["spec"]["terminationGracePeriodSeconds"]
    needed = float(environment["SPANLM_DRAIN_DELAY"]) + float(
        environment["SPANLM_DRAIN_TIMEOUT"]) + 10
    if grace < needed:
        yield f"{name_of(deployment)}: grace {grace} s, want {needed:g} s"


def memory_problems(deployment, environment, model_bytes):
    """The limit covers the weights, the flags' budgets and the program."""
    limit = containers(deployment)[0]["resources"]["limits"]["memory"]
    units = {"Mi": 1 << 20, "Gi": 1 << 30}
    limit_bytes = float(limit[:-2]) * units[limit[-2:]]
    budgets = sum(int(environment[f"SPANLM_{name}_MIB"]) for name in
                  ("SESSION_BUDGET", "MAX_QUEUE", "MAX_RPC"))
    needed = model_bytes + (budgets + 100 << 20)
    if limit_bytes < needed:
        yield f"{name_of(deployment)}: memory {limit}, want {needed} bytes"


def listen_problems(deployment, environment):
    """The declared ports are those that the flags open, on any address."""
    ports = {
        port["name"]: port["containerPort"]
        for container in containers(deployment)
        for port in container.get("ports", [])
    }
    for name, variable in (("grpc", "SPANLM_LISTEN"),
                           ("health", "SPANLM_HEALTH_LISTEN"),
                           ("metrics", "SPANLM_METRICS_LISTEN")):
        want = f"0.0.0.0:{ports.get(name)}"
        if environment.get(variable) != want:
            yield f"{variable}={environment.get(variable)}, want {want}"


def environment_problems(environment, help_text):
    """Each variable is one of the program's."""
    known = set(re.findall(r"Env:(SPANLM_[A-Z0-9_]+)", help_text))
    if not known:
        yield "the program's help names no environment variable"
    for variable in environment:
        if variable not in known:
            yield f"{variable}: no flag of the program's"


def flag_problems(arguments, help_text):
    """Each --flag is one of the program's."""
    known = set(re.findall(r"--[a-z][a-z0-9-]*", help_text))
    for argument in arguments:
        flag = argument.split("=")[0]
        if flag.startswith("--") and flag not in known:
            yield f"{flag}: no flag of the program's"


def image_problems(deployment, dockerfile):
    """Image and manifest agree on the user and the ports."""
    user = re.search(r"^USER (\d+)", dockerfile, re.MULTILINE).group(1)
    spec = pod_template(deployment)["spec"]
    if spec["securityContext"]["runAsUser"] != int(user):
        yield f"the image's user is {user}"
    exposed = re.search(r"^EXPOSE (.*)$", dockerfile, re.MULTILINE).group(1)
    declared = {
        str(port["containerPort"])
        for container in containers(deployment)
        for port in container["ports"]
    }
    if set(exposed.split()) != declared:
        yield f"the image exposes {exposed}, the pod {sorted(declared)}"
