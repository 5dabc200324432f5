// u_chaos.test.mjs - the short form of `make chaos`: targets that are killed, frozen, slowed or broken in turn, and clients
// that hardly notice. What is judged here is what a busy machine does not blur: errors, and that every target comes back.
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { chaos } from "../chaos.mjs";
import { stopAll } from "./programs.mjs";

after(stopAll);

test("one of three targets breaks in every way, and clients see less than 0.1 % errors", async () => {
  const lines = [];
  const { sent, errors, rows } = await chaos({ seconds: 2, rate: 200, print: (line) => lines.push(line) });
  const table = lines.join("\n");

  assert.deepEqual(rows.map((row) => row.name), ["calm", "killed", "frozen", "slow (5 s)", "answers 500", "cut off", "resets mid-body"]);
  assert.ok(sent > 2000, table);
  assert.ok(errors <= Math.max(2, sent * 0.001), table); // two: an answer that was cut cannot be taken back
  for (const row of rows) assert.ok(row.recovery === undefined || row.recovery < 10000, table);
});
