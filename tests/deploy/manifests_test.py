#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks deploy/ against Kubernetes' schemas, the programs and itself.

usage: manifests_test.py BIN_DIR. Exits 77 (skipped) where the validator, which
tools/setup.sh puts into .deps/venv, is not there.
"""

import copy
import pathlib
import shutil
import subprocess
import sys
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = map(str, ROOT.glob(".deps/venv/lib/python3*/site-packages"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

try:
    import kubernetes_validate
    import yaml
except ImportError as error:
    print(f"skipped: {error}; tools/setup.sh installs kubernetes-validate")
    sys.exit(77)

import checks  # pylint: disable=wrong-import-position

KUBERNETES = "1.37"
BASE = ROOT / "deploy/kubernetes/base"
JOBS = ROOT / "deploy/kubernetes/jobs"
BIN = pathlib.Path()


def load(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d is not None]


def kustomization():
    return load(BASE / "kustomization.yaml")[0]


def base_documents():
    return [d for name in kustomization()["resources"]
            for d in load(BASE / name)]


def job_documents():
    return [d for path in sorted(JOBS.glob("*.yaml")) for d in load(path)]


def generated_config_maps():
    return [entry["name"] for entry in kustomization()["configMapGenerator"]]


def server_environment():
    lines = (BASE / "server.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines
                if line and not line.startswith("#"))


def deployment():
    return next(d for d in base_documents() if d["kind"] == "Deployment")


def job(name):
    return next(d for d in job_documents()
                if d["kind"] == "Job" and d["metadata"]["name"] == name)


def help_of(*command):
    result = subprocess.run([BIN / command[0], *command[1:], "--help"],
                            capture_output=True, text=True, check=True)
    return result.stdout + result.stderr


class ManifestTest(unittest.TestCase):
    """Labels, ports, limits and flags of what is there."""

    def assert_clean(self, problems):
        self.assertEqual(list(problems), [])

    def test_fits_the_schema_strictly(self):
        for document in base_documents() + job_documents():
            kubernetes_validate.validate(document, KUBERNETES, strict=True)

    def test_kustomization_names_every_file_and_no_other(self):
        files = {path.name for path in BASE.glob("*.yaml")}
        self.assertEqual(files - {"kustomization.yaml"},
                         set(kustomization()["resources"]))
        for entry in kustomization()["configMapGenerator"]:
            for env in entry["envs"]:
                self.assertTrue((BASE / env).exists(), env)

    def test_every_container_is_bounded_and_restricted(self):
        for document in base_documents() + job_documents():
            self.assert_clean(checks.resource_problems(document))
            self.assert_clean(checks.security_problems(document))
            self.assert_clean(checks.probe_problems(document))

    def test_names_lead_somewhere(self):
        self.assert_clean(checks.selector_problems(base_documents()))
        self.assert_clean(checks.reference_problems(
            base_documents() + job_documents(), generated_config_maps()))

    def test_grace_covers_the_drain(self):
        self.assert_clean(
            checks.drain_problems(deployment(), server_environment()))

    def test_memory_covers_the_budgets_of_the_flags(self):
        weights = ROOT / "models/demo/model.safetensors"
        self.assert_clean(checks.memory_problems(
            deployment(), server_environment(), weights.stat().st_size))

    def test_training_ends_and_saves_on_the_way(self):
        train = checks.containers(job("spanlm-train"))[0]["args"]
        flags = {argument.split("=")[0] for argument in train}
        self.assertLessEqual({"--max-update", "--save-interval-updates"}, flags)

    def test_ports_are_those_of_the_flags_and_the_image(self):
        self.assert_clean(
            checks.listen_problems(deployment(), server_environment()))
        self.assert_clean(checks.image_problems(
            deployment(), (ROOT / "Dockerfile").read_text()))

    def test_all_use_one_image(self):
        image = kustomization()["images"][0]
        tag = f"{image['name']}:{image['newTag']}"
        version = (ROOT / "CMakeLists.txt").read_text()
        self.assertIn(f"project(spanlm VERSION {image['newTag']} ", version)
        for document in job_documents():
            for container in checks.containers(document):
                self.assertEqual(container["image"], tag)
        self.assertEqual(checks.containers(deployment())[0]["image"],
                         image["name"])

    def test_scrapes_the_metrics_port_of_the_service(self):
        config = load(ROOT / "deploy/prometheus/prometheus.yaml")[0]
        scrape = config["scrape_configs"][0]["dns_sd_configs"][0]
        port = server_environment()["SPANLM_METRICS_LISTEN"].split(":")[1]
        self.assertEqual(scrape["port"], int(port))
        service = next(d for d in base_documents() if d["kind"] == "Service")
        self.assertEqual(scrape["names"], [
            f"{service['metadata']['name']}.{kustomization()['namespace']}.svc"
        ])

    @unittest.skipUnless(shutil.which("promtool"), "no promtool")
    def test_prometheus_takes_its_configuration(self):
        subprocess.run(["promtool", "check", "config",
                        ROOT / "deploy/prometheus/prometheus.yaml"],
                       check=True, capture_output=True)

    def test_server_knows_its_environment(self):
        self.assert_clean(checks.environment_problems(
            server_environment(), help_of("spanlm-server")))
        subprocess.run([BIN / "spanlm-server", "--check-config"],
                       env=server_environment(), check=True)

    def test_programs_know_the_jobs_flags(self):
        evaluate = checks.containers(job("spanlm-evaluate"))[0]["args"]
        self.assert_clean(checks.flag_problems(
            evaluate, help_of("spanlm") + help_of("spanlm", "evaluate")))
        train = checks.containers(job("spanlm-train"))[0]["args"]
        self.assert_clean(checks.flag_problems(
            train, help_of("spanlm-train", "train")))


class ChecksTest(unittest.TestCase):
    """Each check finds what it is for."""

    def setUp(self):
        self.documents = base_documents()
        self.deployment = deployment()
        self.pod = self.deployment["spec"]["template"]["spec"]
        self.container = self.pod["containers"][0]

    def assert_finds(self, problems, part):
        self.assertIn(part, "\n".join(problems))

    def test_misspelt_field(self):
        self.container["livenesProbe"] = self.container["livenessProbe"]
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(self.deployment, KUBERNETES,
                                         strict=True)

    def test_limits(self):
        del self.container["resources"]["limits"]["cpu"]
        self.assert_finds(checks.resource_problems(self.deployment), "cpu")

    def test_security(self):
        self.pod["securityContext"]["runAsUser"] = 0
        del self.container["securityContext"]["readOnlyRootFilesystem"]
        problems = list(checks.security_problems(self.deployment))
        self.assert_finds(problems, "root")
        self.assert_finds(problems, "writable")

    def test_probes(self):
        del self.container["startupProbe"]
        self.container["readinessProbe"]["grpc"]["port"] = 1
        problems = list(checks.probe_problems(self.deployment))
        self.assert_finds(problems, "startupProbe: missing")
        self.assert_finds(problems, "readinessProbe: not")

    def test_selectors(self):
        documents = copy.deepcopy(self.documents)
        for document in documents:
            if document["kind"] == "Service":
                document["spec"]["ports"][0]["targetPort"] = "http"
            if document["kind"] == "Deployment":
                document["spec"]["selector"]["matchLabels"]["x"] = "y"
        problems = list(checks.selector_problems(documents))
        self.assert_finds(problems, "misses its own pods")
        self.assert_finds(problems, "no container port")

    def test_references(self):
        self.assert_finds(checks.reference_problems(self.documents, []),
                          "there is no ConfigMap")

    def test_drain(self):
        self.pod["terminationGracePeriodSeconds"] = 39
        self.assert_finds(
            checks.drain_problems(self.deployment, server_environment()),
            "want 40 s")

    def test_memory(self):
        environment = server_environment()
        environment["SPANLM_SESSION_BUDGET_MIB"] = "2000"
        self.assert_finds(
            checks.memory_problems(self.deployment, environment, 1),
            "memory")

    def test_listen(self):
        environment = server_environment()
        environment["SPANLM_LISTEN"] = "127.0.0.1:50051"
        self.assert_finds(
            checks.listen_problems(self.deployment, environment),
            "SPANLM_LISTEN")

    def test_environment_and_flags(self):
        text = "--known TEXT (Env:SPANLM_KNOWN)"
        self.assertEqual(
            list(checks.environment_problems({"SPANLM_KNOWN": ""}, text)), [])
        self.assert_finds(
            checks.environment_problems({"SPANLM_OTHER": ""}, text), "OTHER")
        self.assertEqual(list(checks.flag_problems(["--known=1"], text)), [])
        self.assert_finds(checks.flag_problems(["--other=1"], text), "--other")


if __name__ == "__main__":
    BIN = pathlib.Path(sys.argv.pop(1))
    unittest.main()
