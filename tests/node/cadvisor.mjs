// cadvisor.mjs - plays cAdvisor for processes of the test: under the names of its metrics it tells what
// the kernel really says of a process. A "container" is a name, the process that runs under it now, and
// the limits that it would have had.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const TICKS = 100; // a second, of /proc/PID/stat: fixed in Linux' interface
const PAGE = 4096;

function look({ name, pid, cores, memory }) {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1").replace(/^.*\) /, "").split(" ");
  const resident = Number(readFileSync(`/proc/${pid}/statm`, "latin1").split(" ")[1]) * PAGE;
  const written = Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "latin1"))[1]);
  const of = `{id="/docker/${name}",name="${name}"}`;
  return `container_cpu_usage_seconds_total${of.replace("}", ',cpu="total"}')} ${(Number(stat[11]) + Number(stat[12])) / TICKS}
container_memory_working_set_bytes${of} ${resident}
container_start_time_seconds${of} ${Number(stat[19]) / TICKS}
container_fs_writes_bytes_total${of} ${written}
container_spec_memory_limit_bytes${of} ${memory}
container_spec_cpu_quota${of} ${cores * 100000}
container_spec_cpu_period${of} 100000
`;
}

/** `containers` may change: {name, pid, cores, memory}. Gives host:port, and what ends it. */
export async function startCadvisor(containers) {
  const server = createServer((request, response) => {
    const lines = containers.map((one) => {
      try {
        return look(one);
      } catch {
        return ""; // it has just ended
      }
    });
    response.end(lines.join(""));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${server.address().port}`,
    stop: () => (server.closeAllConnections(), server.close()),
  };
}
