// deb.test.mjs - the Debian package that `make deb` builds: unpacked into a folder, its program
// accepts its own configuration, its units start what it holds, and lintian has no complaint.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { folder, root, stopAll } from "./programs.mjs";

const has = (program) => spawnSync(program, ["--version"]).error === undefined;
const skip = has("dpkg-shlibdeps") ? false : "dpkg-dev is not installed";
let deb, home;

before(() => {
  if (skip) return;
  const out = folder();
  const program = process.env.GATEWAY ?? join(root, "build/gateway");
  deb = execFileSync(join(root, "config/deb/build.sh"), [program, out], { encoding: "utf8" }).trim();
  home = folder();
  execFileSync("dpkg-deb", ["-x", deb, home]);
});
after(stopAll);

const field = (name) => execFileSync("dpkg-deb", ["-f", deb, name], { encoding: "utf8" }).trim();

test("it is called after the program's version, and names the libraries that it needs", { skip }, () => {
  const said = execFileSync(join(home, "usr/bin/gateway"), ["--version"], { encoding: "utf8" });
  assert.equal(`gateway ${field("Version")}`, said.split("\n")[0]);
  for (const library of ["libmicrohttpd", "libcurl", "libhiredis", "libuv1", "libc6"]) assert.ok(field("Depends").includes(library), library);
});

test("its program accepts its configuration", { skip }, () => {
  const file = join(home, "etc/gateway/gateway.json");
  const check = spawnSync(join(home, "usr/bin/gateway"), ["--check", "-c", file], { encoding: "utf8" });
  assert.equal(check.status, 0, check.stderr);
  assert.equal(check.stdout, `${file}: ok\n`);
});

test("a changed configuration is kept by an upgrade", { skip }, () => {
  assert.equal(execFileSync("dpkg-deb", ["--ctrl-tarfile", deb], { maxBuffer: 1 << 20 }).includes("/etc/gateway/gateway.json\n"), true);
});

test("what its units name is in the package", { skip }, () => {
  const unit = readFileSync(join(home, "lib/systemd/system/gateway.service"), "utf8");
  for (const [, path] of unit.matchAll(/^Exec(?:Start|StartPre)=(\S+)/gm)) accessSync(join(home, path), constants.X_OK);
  for (const [, path] of unit.matchAll(/-c (\S+)$/gm)) accessSync(join(home, path));
  for (const [, path] of unit.matchAll(/^Documentation=file:(\S+)$/gm)) accessSync(join(home, path));
  assert.ok(existsSync(join(home, "lib/systemd/system/gateway.socket")));
});

test("a reload is waited for where systemd knows how, and asked for where it does not", () => {
  const unit = (version) => execFileSync(join(root, "config/systemd/unit.sh"), [version], { encoding: "utf8" });
  assert.match(unit("257"), /^Type=notify-reload$/m);
  assert.doesNotMatch(unit("257"), /^ExecReload=/m);
  assert.match(unit("252"), /^Type=notify$/m);
  assert.match(unit("252"), /^ExecReload=\/bin\/kill -HUP \$MAINPID$/m);
});

test("systemd has no complaint about its unit", { skip: skip || (has("systemd-analyze") ? false : "systemd-analyze is not installed") }, () => {
  const file = join(folder(), "gateway.service");
  const unit = readFileSync(join(home, "lib/systemd/system/gateway.service"), "utf8");
  writeFileSync(file, unit.replaceAll("/usr/bin/gateway", "/bin/true")); // ours is not installed
  const { status, stderr } = spawnSync("systemd-analyze", ["verify", file], { encoding: "utf8" });
  assert.equal(stderr, "");
  assert.equal(status, 0);
});

test("lintian has no complaint", { skip: skip || (has("lintian") ? false : "lintian is not installed") }, () => {
  const { status, stdout } = spawnSync("lintian", ["--allow-root", "--fail-on", "error,warning", deb], { encoding: "utf8" });
  assert.equal(status, 0, stdout);
});
