// chaos_target.mjs PORT - one of the targets that `make chaos` torments. A message of its parent says how it behaves:
// ok, slow (5 s), error (500), reset (in the middle of a body). SIGKILL and SIGSTOP need no help of its own.
import { createServer } from "node:http";

const body = JSON.stringify({ who: process.argv[2], filler: "x".repeat(1000) });
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
process.on("message", (message) => {
  if (message.mode) mode = message.mode;
  process.send({ served });
});
process.on("disconnect", () => process.exit(0));
server.listen(Number(process.argv[2]), "127.0.0.1", () => process.send({ ready: server.address().port }));
