// kubernetes.test.mjs - what stands under config/kubernetes fits together: names, labels, ports and
// keys that one manifest expects of another, and the gateway's own word on its configuration and on
// the paths that are probed. No cluster is asked.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, test } from "node:test";
import { folder, root, startGateway, stopAll } from "./programs.mjs";

let yaml = null;
try { yaml = createRequire(import.meta.url)("yaml"); } catch { /* npm's packages are not there */ }
const skip = yaml === null ? "npm's yaml is not there" : false;
after(stopAll);

const home = join(root, "config/kubernetes");
const documents = skip ? [] : readdirSync(home).filter((name) => name.endsWith(".yaml")).flatMap((file) =>
  yaml.parseAllDocuments(readFileSync(join(home, file), "utf8"), { strict: true, uniqueKeys: true }).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return { file, ...document.toJS() };
  }));
const all = (...kinds) => documents.filter(({ kind }) => kinds.includes(kind));
const workloads = all("Deployment", "StatefulSet");
const containers = workloads.flatMap((one) => one.spec.template.spec.containers.map((container) => ({ ...container, of: one })));
const fits = (selector, labels) => Object.entries(selector).every(([key, value]) => labels[key] === value);
const pods = (selector) => workloads.filter(({ spec }) => fits(selector, spec.template.metadata.labels));
const portsOf = (selected) => selected.flatMap(({ spec }) => spec.template.spec.containers.flatMap(({ ports }) => ports.map(({ name }) => name)));

test("every kind that a deployment needs is there, in one namespace", { skip }, () => {
  const kinds = ["Namespace", "ConfigMap", "Deployment", "Service", "Ingress", "HorizontalPodAutoscaler", "PodDisruptionBudget",
    "NetworkPolicy", "StatefulSet", "ServiceMonitor", "PrometheusRule", "Kustomization"];
  for (const kind of kinds) assert.ok(all(kind).length > 0, kind);
  for (const { kind, metadata, apiVersion } of documents) {
    assert.ok(apiVersion, kind);
    if (kind !== "Namespace" && kind !== "Kustomization") assert.equal(metadata.namespace, "gateway", `${kind} ${metadata.name}`);
  }
  const names = documents.filter(({ metadata }) => metadata).map(({ kind, metadata }) => `${kind} ${metadata.name}`);
  assert.equal(new Set(names).size, names.length);
  for (const file of all("Kustomization")[0].resources) assert.ok(documents.some((one) => one.file === file), file);
});

test("selectors find pods, and named ports exist", { skip }, () => {
  for (const { spec, metadata } of workloads) assert.ok(fits(spec.selector.matchLabels, spec.template.metadata.labels), metadata.name);
  for (const { spec, metadata } of all("Service")) {
    const selected = pods(spec.selector);
    assert.equal(selected.length, 1, metadata.name);
    for (const { targetPort } of spec.ports) assert.ok(portsOf(selected).includes(targetPort), `${metadata.name}: ${targetPort}`);
  }
  for (const { spec, metadata } of all("NetworkPolicy")) {
    const selected = pods(spec.podSelector.matchLabels);
    assert.equal(selected.length, 1, metadata.name);
    for (const { ports, from = [] } of spec.ingress) {
      for (const { port } of ports) assert.ok(portsOf(selected).includes(port), `${metadata.name}: ${port}`);
      for (const { podSelector } of from) if (podSelector) assert.equal(pods(podSelector.matchLabels).length, 1, metadata.name);
    }
  }
  for (const { spec } of all("PodDisruptionBudget")) assert.equal(pods(spec.selector.matchLabels).length, 1);
  for (const { spec } of all("HorizontalPodAutoscaler")) {
    const target = workloads.find(({ kind, metadata }) => kind === spec.scaleTargetRef.kind && metadata.name === spec.scaleTargetRef.name);
    assert.ok(target && spec.minReplicas <= target.spec.replicas && target.spec.replicas <= spec.maxReplicas);
  }
  for (const { spec } of all("StatefulSet")) assert.ok(all("Service").some(({ metadata }) => metadata.name === spec.serviceName));
});

test("Ingress and ServiceMonitor find their services", { skip }, () => {
  for (const { spec } of all("Ingress"))
    for (const { backend } of spec.rules.flatMap(({ http }) => http.paths)) {
      const service = all("Service").find(({ metadata }) => metadata.name === backend.service.name);
      assert.ok(service.spec.ports.some(({ name }) => name === backend.service.port.name));
      assert.ok(service.spec.ports.every(({ name }) => name !== "admin"), "the admin listener is not for the world");
    }
  for (const { spec, metadata } of all("ServiceMonitor")) {
    const found = all("Service").filter(({ metadata: { labels } }) => fits(spec.selector.matchLabels, labels));
    assert.equal(found.length, 1, metadata.name);
    for (const { port } of spec.endpoints) assert.ok(found[0].spec.ports.some(({ name }) => name === port), metadata.name);
    assert.equal(found[0].metadata.labels[spec.jobLabel], metadata.name, "the job that alerts ask for");
  }
});

test("secrets are referenced by the names that the head of gateway.yaml tells to create", { skip }, () => {
  const told = [...readFileSync(join(home, "gateway.yaml"), "utf8").matchAll(/--from-literal=([\w-]+)=/g)].map(([, key]) => key);
  const asked = containers.flatMap(({ env = [] }) => env).flatMap(({ valueFrom }) => (valueFrom ? [valueFrom.secretKeyRef] : []));
  assert.deepEqual([...new Set(asked.map(({ key }) => key))].sort(), [...told].sort());
  assert.deepEqual([...new Set(asked.map(({ name }) => name))], ["gateway"]);
  assert.equal(all("Secret").length, 0, "no secret stands here");
});

test("pods are bounded, without rights, pinned, and end after the gateway", { skip }, () => {
  for (const { of: { spec, metadata } } of containers) {
    assert.equal(spec.template.spec.securityContext.runAsNonRoot, true, metadata.name);
    assert.equal(spec.template.spec.automountServiceAccountToken, false, metadata.name);
  }
  for (const { name, image, resources, securityContext, volumeMounts = [], of: { spec } } of containers) {
    assert.match(image, /:v?\d+\.\d+\.\d+(-alpine)?$/, name);
    assert.ok(resources.limits.memory && resources.requests.cpu, name);
    assert.deepEqual(securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ["ALL"] } }, name);
    const volumes = [...(spec.template.spec.volumes ?? []), ...(spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata)];
    for (const mount of volumeMounts) assert.ok(volumes.some((volume) => volume.name === mount.name), mount.name);
    for (const { configMap } of volumes.filter((volume) => volume.configMap))
      assert.ok(all("ConfigMap").some(({ metadata }) => metadata.name === configMap.name), configMap.name);
  }
});

test("the configuration is good, its probes' paths are real, and a pod may end in its time", { skip }, async () => {
  const text = all("ConfigMap")[0].data["gateway.json"];
  const file = join(folder(), "gateway.json");
  writeFileSync(file, text);
  const gateway = containers.find(({ name }) => name === "gateway");
  const env = Object.fromEntries(gateway.env.map(({ name, value }) => [name, value ?? "a-secret-of-some-length"]));
  const check = spawnSync(process.env.GATEWAY ?? "build/gateway", ["--check", "-c", file], { encoding: "utf8", env: { ...process.env, ...env } });
  assert.equal(check.status, 0, check.stderr);

  const config = JSON.parse(text);
  const seconds = (duration) => Number(/^(\d+)s$/.exec(duration)[1]);
  const grace = gateway.of.spec.template.spec.terminationGracePeriodSeconds;
  assert.ok(grace > seconds(config.server.drain_delay) + seconds(config.server.shutdown_grace));
  const portOf = (name) => gateway.ports.find((port) => port.name === name).containerPort;
  assert.ok(config.server.listen[0].endsWith(`:${portOf("http")}`) && config.admin.listen.endsWith(`:${portOf("admin")}`));

  config.server = { ...config.server, listen: ["127.0.0.1:0"], drain_delay: "0s" };
  config.admin.listen = "127.0.0.1:0";
  const running = await startGateway(config);
  for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
    const { path, port } = gateway[probe].httpGet;
    const answer = await fetch((port === "http" ? running.url : running.admin) + path);
    assert.ok([200, 503].includes(answer.status), `${path}: ${answer.status}`);
  }
});

test("alerts.yaml is prometheus/alerts.yml (config/kubernetes/alerts.sh writes it)", { skip }, () => {
  const rules = yaml.parse(readFileSync(join(root, "prometheus/alerts.yml"), "utf8"));
  assert.deepEqual(all("PrometheusRule")[0].spec.groups, rules.groups);
});
