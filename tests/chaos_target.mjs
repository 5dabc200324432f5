// chaos_target.mjs PORT - one of the targets that `make chaos` torments. A message of its parent says how it behaves:
// ok, slow (5 s), error (500), reset (in the middle of a body), cut (nobody listens, and every connection is reset). SIGKILL
// and SIGSTOP need no help of its own.
import { createServer } from "node:http";

const body = JSON.stringify({ who: process.argv[2], filler: "x".repeat(1000) });
const port = Number(process.argv[2]), connections = new Set();
let mode = "ok", served = 0;

const server = createServer((request, response) => {
  const answer = () => response.writeHead(200, { "Content-Type": "application/json", "Content-Length": body.length }).end(body);

  if (request.url !== "/health") served++;
  if (mode === "slow") return void setTimeout(answer, 5000);
  if (mode === "error") return void response.writeHead(500, { "Content-Length": 0 }).end();
  if (mode === "reset" && request.url !== "/health") {
    response.writeHead(200, { "Content-Length": body.length });
    response.write(body.slice(0, 100));
    return void setTimeout(() => request.socket.resetAndDestroy(), 2);
  }
  answer();
});
server.keepAliveTimeout = 60000;
server.on("connection", (socket) => {
  connections.add(socket);
  socket.on("close", () => connections.delete(socket));
});

function become(next) {
  const wasCut = mode === "cut";
  mode = next;
  if (mode === "cut") {
    server.close();
    for (const socket of connections) socket.resetAndDestroy();
  } else if (wasCut) {
    return new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  }
}

process.on("message", async (message) => {
  if (message.mode) await become(message.mode);
  process.send({ served });
});
process.on("disconnect", () => process.exit(0));
server.listen(port, "127.0.0.1", () => process.send({ ready: server.address().port }));
