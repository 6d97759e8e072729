"""The target `kubernetes`: manifests, rendered and handed over. No cluster is touched.

Source: the Kubernetes API reference (apps/v1, v1, networking.k8s.io/v1).
"""

from pathlib import Path
from typing import Any

from mcp_server.domain.deployments.configuration import Config, DatabaseSpec, IngressSpec, Service
from mcp_server.domain.deployments.targets import Facts, Subject, Work
from mcp_server.integrations.targets.compose import data_folder, database_image, plain, port_of, require_images
from mcp_server.integrations.targets.rendered import Objects, RenderedTarget, yaml_text

_PORTS = {"postgres": 5432, "mysql": 3306, "redis": 6379}
_PASSWORD = {"postgres": "POSTGRES_PASSWORD", "mysql": "MYSQL_ROOT_PASSWORD"}
_NO_CLUSTER = (
    "This server touches no cluster, so applying only writes the manifests, and nothing runs: apply them where kubectl "
    "is (kubectl apply -f FILE)."
)


class KubernetesTarget(RenderedTarget):
    """Renders manifests. See `Target`."""

    file = "manifests.yaml"
    takes = frozenset(("image", "command", "env", "secrets", "replicas", "ports", "health", "resources")) | {
        "databases",
        "ingress",
        "monitoring",
    }

    def objects(self, label: str, environment: str, config: Config) -> Objects:
        """Every object, in the order in which they are applied."""
        require_images("kubernetes", config)
        rendering = _Rendering(label, environment, config)
        return {f"{one['kind'].lower()} {one['metadata']['name']}": one for one in rendering.all()}

    def names(self, subject: Subject) -> frozenset[str]:
        """Its objects, within the namespace of its environment."""
        objects = self.objects(subject.label, subject.environment, subject.config)
        return frozenset(f"{subject.environment}: {name}" for name in objects if not name.startswith("namespace "))

    def text(self, objects: Objects) -> str:
        """The manifests, one document each."""
        return yaml_text(list(objects.values()))

    def warnings(self, subject: Subject) -> list[str]:
        """Which secret has to be there."""
        found: list[str] = []
        if subject.config.secrets:
            keys = " ".join(f"--from-literal={name}=..." for name in subject.config.secrets)
            space = subject.environment
            found.append(f"Make the secret first: kubectl -n {space} create secret generic {subject.label} {keys}")
        return found

    def lacks(self, subject: Subject) -> list[str]:
        """This server reaches no cluster, whatever is installed."""
        del subject
        return [_NO_CLUSTER]

    async def deploy(self, work: Work, path: Path) -> Facts:
        """Handed over."""
        del work
        return {"rendered": True, "said": f"Nothing runs yet. Apply it with kubectl apply -f {path}"}

    async def remove(self, work: Work, path: Path | None) -> Facts:
        """Only the files are removed."""
        del path
        place = f"-n {work.subject.environment} -l app.kubernetes.io/part-of={work.subject.label}"
        return {
            "rendered": True,
            "said": f"Only the files were removed. In a cluster: kubectl delete all,ingress {place}",
        }


class _Rendering:
    """One configuration in Kubernetes' words."""

    def __init__(self, label: str, environment: str, config: Config) -> None:
        self._label, self._space, self._config = label, environment, config

    def all(self) -> list[dict[str, Any]]:
        """Every object: the namespace, databases, services, and what leads to them."""
        config = self._config
        found: list[dict[str, Any]] = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self._space}},
        ]
        for database in config.databases:
            found += [self._stateful_set(database), self._service(database.name, (_PORTS[database.engine],))]
        for service in config.services:
            found.append(self._deployment(service))
            if service.ports:
                found.append(self._service(service.name, service.ports))
        return found + ([self._ingress()] if config.ingress else [])

    def _metadata(self, name: str) -> dict[str, Any]:
        """The name of an object, and how it is found."""
        return {"name": f"{self._label}-{name}", "namespace": self._space, "labels": self._labels(name)}

    def _labels(self, name: str) -> dict[str, str]:
        """What tells the objects of a part from those of others."""
        return {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": self._label}

    def _deployment(self, service: Service) -> dict[str, Any]:
        """A service, in as many replicas as it is to have."""
        spec = {
            "replicas": service.replicas,
            "selector": {"matchLabels": self._labels(service.name)},
            "template": {
                "metadata": {"labels": self._labels(service.name)} | self._annotations(service),
                "spec": {"containers": [self._container(service)]},
            },
        }
        return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": self._metadata(service.name), "spec": spec}

    def _container(self, service: Service) -> dict[str, Any]:
        """What each replica of a service runs."""
        env: list[dict[str, Any]] = [{"name": name, "value": plain(value)} for name, value in service.env.items()]
        env += [self._from_secret(name, name) for name in service.secrets]
        rendered: dict[str, Any] = {
            "name": service.name,
            "image": service.image,
            "args": [plain(word) for word in service.command],
            "env": env,
            "ports": [{"containerPort": port} for port in service.ports],
            "resources": _resources(service),
        }
        if service.health is not None and service.ports:
            get = {"httpGet": {"path": service.health.path, "port": service.ports[0]}}
            seconds = {"timeoutSeconds": max(1, round(service.health.timeout_seconds))}
            rendered |= {"readinessProbe": get | seconds, "livenessProbe": get | seconds | {"initialDelaySeconds": 10}}
        return {name: value for name, value in rendered.items() if value}

    def _from_secret(self, variable: str, key: str) -> dict[str, Any]:
        """A variable whose value stands in the secret that the operator makes."""
        return {"name": variable, "valueFrom": {"secretKeyRef": {"name": self._label, "key": key}}}

    def _annotations(self, service: Service) -> dict[str, Any]:
        """What Prometheus finds a service by."""
        told = next((one for one in self._config.monitoring if one.service == service.name), None)
        if told is None:
            return {}
        port = told.port or next(iter(service.ports), None)
        told_by = {"prometheus.io/scrape": "true", "prometheus.io/path": told.path}
        return {"annotations": told_by | ({} if port is None else {"prometheus.io/port": str(port)})}

    def _service(self, name: str, ports: tuple[int, ...]) -> dict[str, Any]:
        """The address of a part within the cluster."""
        named = [{"name": f"port-{port}", "port": port, "targetPort": port} for port in ports]
        spec = {"selector": self._labels(name), "ports": named}
        return {"apiVersion": "v1", "kind": "Service", "metadata": self._metadata(name), "spec": spec}

    def _stateful_set(self, database: DatabaseSpec) -> dict[str, Any]:
        """A database, with a volume that outlives it."""
        container: dict[str, Any] = {
            "name": database.name,
            "image": database_image(database),
            "ports": [{"containerPort": _PORTS[database.engine]}],
            "volumeMounts": [{"name": "data", "mountPath": data_folder(database), "subPath": "data"}],
        }
        if database.password is not None and database.engine in _PASSWORD:
            container["env"] = [self._from_secret(_PASSWORD[database.engine], database.password)]
        elif database.password is not None:
            container["env"] = [self._from_secret("REDIS_PASSWORD", database.password)]
            container["args"] = ["--requirepass", "$(REDIS_PASSWORD)"]
        claim = {
            "metadata": {"name": "data"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": f"{database.storage_gb}Gi"}},
            },
        }
        metadata = self._metadata(database.name)
        spec = {
            "serviceName": metadata["name"],
            "replicas": 1,
            "selector": {"matchLabels": self._labels(database.name)},
            "template": {"metadata": {"labels": self._labels(database.name)}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [claim],
        }
        return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}

    def _ingress(self) -> dict[str, Any]:
        """How requests from outside reach services."""
        hosts = dict.fromkeys(one.host for one in self._config.ingress)
        rules = [{"host": host, "http": {"paths": self._paths(host)}} for host in hosts]
        secured = [{"hosts": [one.host], "secretName": f"{self._label}-tls"} for one in self._config.ingress if one.tls]
        spec: dict[str, Any] = {"rules": rules} | ({"tls": secured} if secured else {})
        metadata = self._metadata("ingress")
        return {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": metadata, "spec": spec}

    def _paths(self, host: str) -> list[dict[str, Any]]:
        """Which service answers under which path of a host."""
        ways: list[IngressSpec] = [one for one in self._config.ingress if one.host == host]
        return [
            {
                "path": one.path,
                "pathType": "Prefix",
                "backend": {
                    "service": {
                        "name": f"{self._label}-{one.service}",
                        "port": {"number": port_of(self._config, one)},
                    }
                },
            }
            for one in ways
        ]


def _resources(service: Service) -> dict[str, Any]:
    """What a replica is promised, and may use at most."""
    if service.resources is None:
        return {}
    limits: dict[str, str] = {}
    if service.resources.cpu is not None:
        limits["cpu"] = f"{round(service.resources.cpu * 1000)}m"
    if service.resources.memory_mb is not None:
        limits["memory"] = f"{service.resources.memory_mb}Mi"
    return {"limits": limits, "requests": limits} if limits else {}
