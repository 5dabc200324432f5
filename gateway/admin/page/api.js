// api.js - calls to the gateway, the token among them, and the stream of events.
//
// The token is asked for when a call is answered 401, once for all calls that wait, and lives in a
// variable of this module: no storage, no cookie, no address ever holds it. Events are read with
// fetch() because EventSource cannot send a header.
import { byId } from "./dom.js";

let token = "";
let asking = null; // the promise of a token that the operator is typing
let refused = false; // the operator has closed the question; calls fail until asked again

export class Fault extends Error {
  constructor(message, status, body) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

function showButtons() {
  byId("sign-in").hidden = !refused;
  byId("sign-out").hidden = token === "";
}

/** Asks for the token; false: the operator would rather not. */
function askToken(fault) {
  asking ??= new Promise((resolve) => {
    const dialog = byId("token-dialog");
    const field = byId("token");
    const end = () => {
      token = dialog.returnValue === "ok" ? field.value : "";
      field.value = "";
      refused = token === "";
      asking = null;
      showButtons();
      resolve(token !== "");
    };
    byId("token-fault").textContent = fault;
    dialog.returnValue = "";
    dialog.addEventListener("close", end, { once: true });
    dialog.showModal();
    field.focus();
  });
  return asking;
}

export function startTokens(onSignedIn) {
  byId("token-cancel").addEventListener("click", () => byId("token-dialog").close(""));
  byId("sign-in").addEventListener("click", async () => {
    refused = false;
    if (await askToken("")) onSignedIn();
  });
  byId("sign-out").addEventListener("click", () => {
    token = "";
    refused = true;
    showButtons();
  });
}

/** fetch() with the token, asked for where one is needed. */
async function send(path, options = {}) {
  for (;;) {
    if (asking) await asking;
    if (refused) throw new Fault("The gateway asks for its admin token.", 401);
    const used = token;
    const headers = { ...options.headers };
    if (used) headers.Authorization = `Bearer ${used}`;
    const answer = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers });
    if (answer.status !== 401) return answer;
    await answer.body?.cancel();
    // another call may have brought a new one meanwhile
    if (used === token && !(await askToken(used ? "The gateway does not take this token." : ""))) throw new Fault("The gateway asks for its admin token.", 401);
  }
}

async function faultOf(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Fault(body.message ?? body.detail ?? `The gateway answered ${answer.status}.`, answer.status, body);
}

export async function getText(path) {
  const answer = await send(path);
  if (!answer.ok) throw await faultOf(answer);
  return answer.text();
}

/** The answer's JSON; a Fault for what is not 2xx. `body`, if any, is sent as JSON. */
export async function call(method, path, body) {
  const options = { method };
  if (body !== undefined) Object.assign(options, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const answer = await send(path, options);
  if (!answer.ok) throw await faultOf(answer);
  return answer.json();
}

// ---- server-sent events ----

function readBlock(block, follower) {
  const event = { kind: "message", data: "" };
  for (const line of block.split("\n")) {
    if (line.startsWith("id:")) follower.last = line.slice(3).trim();
    else if (line.startsWith("event:")) event.kind = line.slice(6).trim();
    else if (line.startsWith("data:")) event.data += line.slice(5).trim();
  }
  if (event.data === "") return;
  try {
    follower.onEvent(event.kind, JSON.parse(event.data));
  } catch {
    // a row that is no JSON is no event
  }
}

async function readStream(answer, follower) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) readBlock(block, follower);
  }
}

/** Follows the events from the oldest that are kept; comes back where it was after a break. */
export async function follow(onEvent, onState) {
  const follower = { onEvent, last: "1" };
  for (let wait = 1000; ; wait = Math.min(wait * 2, 15000)) {
    try {
      const answer = await send("/system/events", { headers: { "Last-Event-ID": follower.last } });
      if (!answer.ok) throw await faultOf(answer);
      onState(true);
      wait = 1000;
      await readStream(answer, follower);
    } catch {
      // said by onState
    }
    onState(false);
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
