// exporters.mjs - what Prometheus reads beside the gateway, for dashboard.test.mjs.
//
// The Redis exporter is Debian's, in front of the test's own Redis. cAdvisor is no Debian package
// and reads the control groups of real containers, and the node exporter tells of whatever machine
// this is, so both are played: the names and labels below are those that their documentation lists
// (docs/storage/prometheus.md of cAdvisor; the collectors cpu, meminfo and filesystem), and a panel
// that asks for any other finds nothing. So is the Redis exporter where it is not installed.
import { spawnSync } from "node:child_process";
import { createServer } from "node:http";
import { freePort, start } from "./programs.mjs";

const container = '{id="/docker/1",image="gateway:local",name="gateway-gateway-1"}';
const disk = container.replace("}", ',device="/dev/sda"}');
const net = container.replace("}", ',interface="eth0"}');
const cpu = container.replace("}", ',cpu="total"}');
const containers = {
  counter: {
    container_cpu_usage_seconds_total: cpu, container_cpu_cfs_periods_total: container, container_cpu_cfs_throttled_periods_total: container,
    container_network_receive_bytes_total: net, container_network_transmit_bytes_total: net,
    container_fs_reads_bytes_total: disk, container_fs_writes_bytes_total: disk,
  },
  gauge: {
    container_last_seen: container, container_start_time_seconds: container,
    container_memory_working_set_bytes: container, container_spec_memory_limit_bytes: container,
    container_spec_cpu_quota: container, container_spec_cpu_period: container,
  },
};
const machine = {
  counter: { node_cpu_seconds_total: '{cpu="0",mode="idle"}' },
  gauge: {
    node_memory_MemAvailable_bytes: "", node_memory_MemTotal_bytes: "",
    node_filesystem_avail_bytes: '{device="/dev/sda",fstype="ext4",mountpoint="/"}',
  },
};
const redis = {
  counter: {
    redis_commands_processed_total: "", redis_keyspace_hits_total: "", redis_keyspace_misses_total: "", redis_evicted_keys_total: "",
    redis_expired_keys_total: "", redis_net_input_bytes_total: "", redis_net_output_bytes_total: "",
    redis_commands_total: '{cmd="evalsha"}', redis_commands_duration_seconds_total: '{cmd="evalsha"}',
  },
  gauge: {
    redis_up: "", redis_memory_used_bytes: "", redis_memory_max_bytes: "", redis_memory_used_rss_bytes: "", redis_mem_fragmentation_ratio: "",
    redis_connected_clients: "", redis_blocked_clients: "", redis_db_keys: '{db="db0"}', redis_db_keys_expiring: '{db="db0"}',
  },
};

/** Serves a list like those above; counters grow by half a unit a second. Gives host:port. */
function play(list) {
  const began = Date.now() - 60000;
  const server = createServer((request, response) => {
    const grown = (Date.now() - began) / 2000;
    const rows = Object.entries(list).flatMap(([kind, names]) =>
      Object.entries(names).map(([name, labels]) => `# TYPE ${name} ${kind}\n${name}${labels} ${kind === "counter" ? grown : 5}\n`));
    response.writeHead(200, { "Content-Type": "text/plain; version=0.0.4" });
    response.end(rows.join(""));
  });
  server.unref();
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(`127.0.0.1:${server.address().port}`)));
}

/** A Redis of the test's own; gives its port. */
export async function startRedis(home) {
  const port = await freePort();
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", home, "--maxmemory", "64mb"];
  await start("/bin/bash", ["-c", 'exec redis-server "$@" 1>&2', "redis", ...options], /Ready to accept connections/);
  return port;
}

/** The exporters' addresses by job, as prometheus.yml names them. */
export async function startExporters(redisPort) {
  const jobs = { containers: await play(containers), node: await play(machine) };
  const program = "prometheus-redis-exporter";
  if (spawnSync(program, ["-version"]).error) return { ...jobs, redis: await play(redis) };
  const port = await freePort();
  await start(program, ["-redis.addr", `redis://127.0.0.1:${redisPort}`, "-web.listen-address", `127.0.0.1:${port}`], /Providing metrics at/);
  return { ...jobs, redis: `127.0.0.1:${port}` };
}
