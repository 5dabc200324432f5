// redis_between.mjs - stands between clients and a real Redis, and gives some commands an answer of
// its own: an error, nonsense, half a reply, silence, the end of the connection. What it does not
// answer itself goes through, and replies leave in the order of the commands, as Redis keeps it.
import { createServer, connect } from "node:net";

export const SILENCE = Symbol("silence"), END = Symbol("end");

/** Where the reply that begins at `at` ends; -1: more must come. */
function replyEnd(bytes, at) {
  const line = bytes.indexOf("\r\n", at);
  if (line < 0) return -1;
  const number = Number(bytes.toString("latin1", at + 1, line));
  let end = line + 2;
  if (bytes[at] === 0x24) return number < 0 ? end : end + number + 2 <= bytes.length ? end + number + 2 : -1;
  if (bytes[at] !== 0x2a) return end;
  for (let i = 0; i < number && end >= 0; i++) end = end < bytes.length ? replyEnd(bytes, end) : -1;
  return end;
}

/** The command that begins at 0: its words and its end; undefined: more must come. */
function readCommand(bytes) {
  if (replyEnd(bytes, 0) < 0) return undefined;
  let at = bytes.indexOf("\r\n") + 2;
  const words = [];
  for (let left = Number(bytes.toString("latin1", 1, at - 2)); left > 0; left--) {
    const from = bytes.indexOf("\r\n", at) + 2;
    const end = from + Number(bytes.toString("latin1", at + 1, from - 2));
    words.push(bytes.subarray(from, end));
    at = end + 2;
  }
  return { words: words.map((word) => word.toString("latin1")), end: at };
}

/** `target` is as net.connect takes it. `between.fault(words, name)` gives undefined, bytes, SILENCE
 * or END; `name` is what the client called itself. */
export function startBetween(target) {
  const between = { fault: undefined, counts: {} };
  const sockets = new Set();
  const server = createServer((client) => {
    const upstream = connect(target), waiting = [];
    let from = Buffer.alloc(0), back = Buffer.alloc(0), name = "";
    const end = () => (client.destroy(), upstream.destroy(), sockets.delete(client), sockets.delete(upstream));
    const send = () => {
      while (waiting.length > 0 && waiting[0].reply !== undefined) {
        const { reply } = waiting[0];
        if (reply === SILENCE) return;
        waiting.shift();
        if (reply === END) return void end();
        client.write(reply);
      }
    };
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", end).on("close", end);
    }
    client.on("data", (bytes) => {
      from = Buffer.concat([from, bytes]);
      for (let command; from.length > 0 && (command = readCommand(from)) !== undefined; ) {
        const verb = command.words[0].toUpperCase();
        if (verb === "CLIENT" && command.words[1] === "SETNAME") name = command.words[2];
        const reply = between.fault?.(command.words, name);
        between.counts[verb] = (between.counts[verb] ?? 0) + 1;
        waiting.push({ reply });
        if (reply === undefined) upstream.write(from.subarray(0, command.end));
        from = from.subarray(command.end);
      }
      send();
    });
    upstream.on("data", (bytes) => {
      back = Buffer.concat([back, bytes]);
      for (let stop; back.length > 0 && (stop = replyEnd(back, 0)) > 0; back = back.subarray(stop)) {
        const first = waiting.find((one) => one.reply === undefined);
        if (first) first.reply = back.subarray(0, stop);
      }
      send();
    });
  });
  between.stop = () => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(Object.assign(between, { port: server.address().port }))));
}
