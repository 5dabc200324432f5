// wire.mjs - an upstream and a client that speak bytes, for tests of what node's own HTTP would hide:
// order, case and doubles of fields, connections that break at a chosen moment, readers that stop reading.
import net from "node:net";

/** Splits what arrives into messages: { head, lines, method, path, body }. Only sized bodies. */
function messages(onMessage) {
  let waiting = Buffer.alloc(0);
  return (bytes) => {
    waiting = Buffer.concat([waiting, bytes]);
    for (;;) {
      const end = waiting.indexOf("\r\n\r\n");
      if (end < 0) return;
      const head = waiting.subarray(0, end).toString("latin1");
      const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
      if (waiting.length < end + 4 + length) return;
      const lines = head.split("\r\n");
      const [method, path] = lines[0].split(" ");
      const body = waiting.subarray(end + 4, end + 4 + length).toString("latin1");
      waiting = waiting.subarray(end + 4 + length);
      onMessage({ head, lines, method, path, body });
    }
  };
}

/** An upstream: `answer(request, socket, nth)` writes to the socket what it likes; nth counts a connection's requests. */
export async function wireServer(answer) {
  const seen = [];
  const sockets = new Set();
  const server = net.createServer((socket) => {
    let nth = 0;
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => {});
    socket.on("data", messages((request) => {
      seen.push(request);
      answer(request, socket, nth++);
    }));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    seen,
    sockets,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Sends bytes and gives all that comes back, until `enough(text)` or the end of the connection. */
export function say(url, text, enough = () => false, patience_ms = 5000) {
  return new Promise((resolve, reject) => {
    let got = "";
    const socket = net.connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text));
    const timer = setTimeout(() => socket.destroy(new Error(`nothing more came after:\n${got}`)), patience_ms);
    const end = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(got);
    };
    socket.on("data", (bytes) => {
      got += bytes.toString("latin1");
      if (enough(got)) end();
    });
    socket.on("end", end);
    socket.on("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
  });
}

export const fields = (message) => message.split("\r\n\r\n")[0].split("\r\n").slice(1);
export const named = (lines, name) => lines.filter((line) => line.toLowerCase().startsWith(`${name.toLowerCase()}:`));
