// chaos.mjs - three targets, of which one is killed, frozen, slowed to 5 s, made to answer 500, made to reset in the middle
// of a body, or cut off (it listens no more, and its connections are reset), in turn, under a steady rate of GETs that does
// not wait for answers. Prints a table; exits 1 when clients saw more than 0.1 % errors in all, when the p99 of a second was
// not back within twice the calm one (and 5 ms, which this side needs to look) 10 s after a fault came or went, or when a
// target that was well again was not back within two health intervals.
//   node tests/chaos.mjs [--seconds N: of each fault] [--rate N: requests a second]      GATEWAY names the program
import { fork } from "node:child_process";
import { Agent, get } from "node:http";
import { pathToFileURL } from "node:url";
import { freePort, sleep, startGateway, stop, stopAll } from "./node/programs.mjs";

const SETTLED = 10000; // ms, for the p99
const INTERVAL = 500, GRACE = 250; // ms; GRACE: the checks' own time, and that of our look
const path = new URL("./chaos_target.mjs", import.meta.url).pathname;

async function startTarget(port) {
  const child = fork(path, [String(port)]);
  await new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("exit", () => reject(new Error("a target did not start")));
  });
  return child;
}
const tell = (target, message) => new Promise((resolve) => {
  target.child.once("message", resolve);
  target.child.send(message);
});

function configuration(ports) {
  return {
    server: { listen: ["127.0.0.1:0"], workers: 2 }, admin: { listen: "127.0.0.1:0" }, limits: { enabled: false },
    upstreams: { app: {
      targets: ports.map((port) => `http://127.0.0.1:${port}`), balance: "p2c_ewma", first_byte_timeout: "1s", timeout: "10s",
      retry: { attempts: 2, on: ["connect", "reset", "timeout", "500", "502", "503", "504"] }, hedge: true,
      ejection: { failures: 2, eject_for: `${INTERVAL * 2}ms` },
      health: { interval: `${INTERVAL}ms`, timeout: `${INTERVAL}ms`, healthy: 2, unhealthy: 2 },
    } },
    routes: [{ match: { path: "/*" }, upstream: "app" }], log: { access: "off" },
  };
}

/** Requests at a steady rate until stop(); `done` gets each outcome. */
function load(url, rate, done) {
  const agent = new Agent({ keepAlive: true, maxSockets: 512 });
  let asked = 0, open = 0;
  const began = performance.now();
  const one = () => {
    const at = performance.now();
    let over = false;
    const finish = (ok, why) => {
      if (over) return;
      over = true;
      open--;
      done(ok, performance.now() - at, why, at);
    };
    open++;
    get(`${url}/item`, { agent }, (answer) => {
      let length = 0;
      answer.on("data", (bytes) => { length += bytes.length; });
      answer.on("end", () => finish(answer.statusCode === 200 && answer.complete && length > 1000, `status ${answer.statusCode}`));
      answer.on("error", () => finish(false, "cut"));
    }).on("error", (error) => finish(false, error.code)).setTimeout(15000, function late() { this.destroy(); });
  };
  const timer = setInterval(() => {
    for (const due = ((performance.now() - began) / 1000) * rate; asked < due; asked++) one();
  }, 5);
  return async () => {
    clearInterval(timer);
    for (let i = 0; i < 400 && open > 0; i++) await sleep(50);
    agent.destroy();
  };
}

const faults = {
  killed: { on: async (t) => { t.child.kill("SIGKILL"); await sleep(20); }, off: async (t) => { t.child = await startTarget(t.port); } },
  frozen: { on: async (t) => t.child.kill("SIGSTOP"), off: async (t) => t.child.kill("SIGCONT") },
  "slow (5 s)": { on: (t) => tell(t, { mode: "slow" }), off: (t) => tell(t, { mode: "ok" }) },
  "answers 500": { on: (t) => tell(t, { mode: "error" }), off: (t) => tell(t, { mode: "ok" }) },
  "cut off": { on: (t) => tell(t, { mode: "cut" }), off: (t) => tell(t, { mode: "ok" }) },
  "resets mid-body": { on: (t) => tell(t, { mode: "reset" }), off: (t) => tell(t, { mode: "ok" }) },
};

const quantile = (list, share) => (list.length ? list.sort((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * share))] : 0);

/** How long after `from` the p99 of a second came back under `limit`, for two seconds on end; Infinity: not until `to`. */
function settledAfter(all, from, to, limit) {
  const seconds = [];
  for (const { at, ms } of all)
    if (at >= from && at < to) (seconds[Math.floor((at - from) / 1000)] ??= []).push(ms);
  const good = (list) => list === undefined || quantile(list, 0.99) <= limit;
  const whole = Math.max(1, Math.floor((to - from) / 1000));
  for (let i = 0; i < whole; i++) if (good(seconds[i]) && (i + 1 >= whole || good(seconds[i + 1]))) return i * 1000;
  return Infinity;
}

export async function chaos({ seconds = 10, rate = 500, print = console.log } = {}) {
  const targets = [];
  for (let i = 0; i < 3; i++) {
    const port = await freePort();
    targets.push({ port, child: await startTarget(port) });
  }
  const gateway = await startGateway(configuration(targets.map((t) => t.port)));
  let phase = null;
  const why = {};
  const enter = (name) => { phase = { name, sent: 0, errors: 0, took: [] }; return phase; };
  const rows = [];
  const upstream = async () => (await (await fetch(`${gateway.admin}/system/upstreams`)).json()).upstreams.app;
  const recovered = async (index) => {
    const began = performance.now();
    while (performance.now() - began < 15000) {
      if ((await upstream()).targets[index].state === "up") return performance.now() - began;
      await sleep(10);
    }
    return Infinity;
  };

  enter("warm");
  const all = [];
  const end = load(gateway.url, rate, (ok, ms, reason, at) => {
    phase.sent++;
    phase.took.push(ms);
    all.push({ at, ms });
    if (ok) return;
    phase.errors++;
    why[`${phase.name}: ${reason}`] = (why[`${phase.name}: ${reason}`] ?? 0) + 1;
  });
  try {
    await sleep(1000); // connections, the p95 of hedges
    rows.push(enter("calm"));
    await sleep(seconds * 1000);
    let turn = 0;
    for (const [name, fault] of Object.entries(faults)) {
      const index = turn++ % targets.length, target = targets[index];
      const row = enter(name);
      rows.push(row);
      row.on = performance.now();
      await fault.on(target);
      await sleep(seconds * 1000);
      row.off = performance.now();
      await fault.off(target);
      row.recovery = await recovered(index);
      await sleep(INTERVAL);
      const before = row.took.length;
      await sleep(Math.min(seconds, 2) * 1000);
      row.end = performance.now();
      row.after = row.took.slice(before);
      row.took.length = before;
    }
    const last = await upstream();
    await end();
    const limit = 2 * quantile(rows[0].took, 0.99) + 5;
    for (const row of rows.slice(1))
      row.settled = Math.max(settledAfter(all, row.on, row.end, limit), settledAfter(all, row.off, row.end, limit));
    return report(rows, last, why, print);
  } catch (error) {
    await sleep(500);
    print(`${gateway.said()}gateway: ${gateway.child.exitCode ?? gateway.child.signalCode ?? "runs"}`);
    throw error;
  } finally {
    for (const target of targets) target.child.kill("SIGKILL");
    await stop(gateway.child);
  }
}

function report(rows, last, why, print) {
  const sent = rows.reduce((sum, row) => sum + row.sent, 0), errors = rows.reduce((sum, row) => sum + row.errors, 0);
  const late = rows.filter((row) => row.recovery > 2 * INTERVAL + GRACE);
  const restless = rows.filter((row) => row.settled > SETTLED);
  const ms = (value) => (value === undefined ? "" : value.toFixed(1)).padStart(9);

  print(`fault              requests  errors    p50 ms    p99 ms p99 after  p99 calm in  target back in`);
  for (const row of rows)
    print(`${row.name.padEnd(18)} ${String(row.sent).padStart(8)} ${String(row.errors).padStart(7)} ${ms(quantile(row.took, 0.5))} ` +
      `${ms(quantile(row.took, 0.99))} ${ms(row.after && quantile(row.after, 0.99))} ${row.recovery === undefined ? "" : `${(row.settled / 1000).toFixed(0)} s`.padStart(11) + `${row.recovery.toFixed(0)} ms`.padStart(16)}`);
  print(`all                ${String(sent).padStart(8)} ${String(errors).padStart(7)}   ${((100 * errors) / sent).toFixed(3)} % ` +
    `ejections ${last.ejections}, hedges ${last.hedges}, breaker opened ${last.breaker.opened}`);
  for (const [reason, count] of Object.entries(why)) print(`  ${reason}: ${count}`);
  return { sent, errors, share: errors / sent, late: late.map((row) => `${row.name}: ${row.recovery.toFixed(0)} ms`), restless: restless.map((row) => row.name), rows };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const option = (name, initial) => Number(process.argv[process.argv.indexOf(`--${name}`) + 1 || Infinity] ?? initial);
  const { share, late, restless } = await chaos({ seconds: option("seconds", 10), rate: option("rate", 500) });
  await stopAll();
  if (late.length > 0) console.log(`back too late: ${late.join(", ")}`);
  if (restless.length > 0) console.log(`p99 not calm in ${SETTLED / 1000} s: ${restless.join(", ")}`);
  process.exit(share < 0.001 && late.length === 0 && restless.length === 0 ? 0 : 1);
}
