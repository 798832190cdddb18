import { EventReader } from "./events.js";

/** Why there is no answer. `wait` are the seconds after which a busy server wants to be asked again. */
export class Failure extends Error {
  constructor(kind, message, wait = 0) {
    super(message);
    this.kind = kind;
    this.wait = wait;
  }
}

const LOST = "The server cannot be reached, or the connection to it broke off.";
const HALF = "The connection to the server broke off before the end.";

/** What the server can be asked. Wherever it wants a key, `askKey(again)` gives one, or null. */
export class Server {
  #key = null;
  #asking = null;
  #askKey;

  constructor(askKey) {
    this.#askKey = askKey;
  }

  models() {
    return this.#get("models", "json");
  }

  samples() {
    return this.#get("samples", "json");
  }

  /** A clip as a Blob; <video src> could not send the key. */
  sample(name) {
    return this.#get(`samples/${encodeURIComponent(name)}.mp4`, "blob");
  }

  #get(path, type) {
    return this.#keyed(() => request("GET", path, { key: this.#key, type }).then((got) => got.response));
  }

  /** Asks what happens when; `heard(name, value)` is called with each event, `sent(share)` while a file is sent. */
  async timeline(video, options, { heard, sent, signal }) {
    let ended = false;
    const reader = new EventReader((name, data) => {
      const value = JSON.parse(data);
      if (name === "error") throw new Failure(value.kind, value.message);
      ended ||= name === "end";
      heard(name, value);
    });
    const came = (text) => reader.push(text);
    await this.#post("timeline", video, options, { type: "text", came, sent, signal });
    if (!ended) throw new Failure("lost", HALF);
  }

  /** The film of where the model looked, and the class it looked for, as "head=label". */
  async explain(video, options, signal) {
    const got = await this.#post("explain", video, options, { type: "blob", signal });
    return { film: got.response, of: unescaped(got.getResponseHeader("X-Tubelet-Class") ?? "") };
  }

  #post(path, video, options, more) {
    const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== "" && value != null));
    let body;
    if (video.file) {
      body = new FormData();
      body.append("file", video.file, video.file.name);
    } else {
      body = JSON.stringify({ sample: video.sample });
    }
    return this.#keyed(() => request("POST", `${path}?${query}`, { key: this.#key, body, ...more }));
  }

  /** Does it; with a key, where the server wants one. */
  async #keyed(ask) {
    for (let again = false; ; again = true) {
      const used = this.#key;
      try {
        return await ask();
      } catch (failure) {
        if (failure.kind !== "unauthorised") throw failure;
        // Of several requests that were refused, one asks the person.
        if (this.#key === used) {
          this.#asking ??= this.#askKey(again).finally(() => { this.#asking = null; });
          const key = await this.#asking;
          if (key === null) throw failure;
          this.#key = key;
        }
      }
    }
  }
}

/** Resolves with the XMLHttpRequest when all has come. Not fetch, which does not tell how much of a file was sent. */
function request(method, path, { key, body, type, came, sent, signal }) {
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    let seen = 0;
    const take = () => {
      if (!came || asked.status !== 200 || asked.responseText.length === seen) return;
      const piece = asked.responseText.slice(seen);
      seen += piece.length;
      try {
        came(piece);
      } catch (failure) {
        reject(failure);
        asked.abort();
      }
    };
    asked.open(method, path);
    asked.responseType = type;
    if (key !== null) asked.setRequestHeader("Authorization", `Bearer ${key}`);
    if (typeof body === "string") asked.setRequestHeader("Content-Type", "application/json");
    if (sent) asked.upload.addEventListener("progress", (event) => sent(event.loaded / event.total));
    asked.addEventListener("progress", take);
    asked.addEventListener("load", () => {
      take();
      if (asked.status >= 200 && asked.status < 300) resolve(asked);
      else refusal(asked).then(reject);
    });
    asked.addEventListener("error", () => { take(); reject(new Failure("lost", seen ? HALF : LOST)); });
    asked.addEventListener("abort", () => reject(new Failure("cancelled", "Cancelled.")));
    signal?.addEventListener("abort", () => asked.abort());
    asked.send(body);
  });
}

/** Headers are ASCII: other letters come as \xe9, \u05d0 or \U0001f600. */
function unescaped(text) {
  const codes = /\\x([0-9a-f]{2})|\\u([0-9a-f]{4})|\\U([0-9a-f]{8})/g;
  return text.replace(codes, (_, ...code) => String.fromCodePoint(parseInt(code.slice(0, 3).find(Boolean), 16)));
}

/** What the server says when it refuses. */
async function refusal(asked) {
  const wait = Number(asked.getResponseHeader("Retry-After")) || 0;
  let error = null;
  try {
    const { response } = asked;
    const text = response instanceof Blob ? await response.text() : response;
    error = (typeof text === "string" ? JSON.parse(text) : text).error;
  } catch {
    // Something between here and the server answered in its place.
  }
  const kinds = { 401: "unauthorised", 413: "too_large", 429: "busy", 504: "timeout" };
  const kind = error?.kind ?? kinds[asked.status] ?? "internal";
  return new Failure(kind, error?.message ?? `The server answered with status ${asked.status}.`, wait);
}
