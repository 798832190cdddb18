// A person chooses a video; the server says what happens when; the page shows it at the moment that plays.
import { Answers } from "./answers.js";
import { Explanation } from "./explanation.js";
import { Film } from "./film.js";
import { askKey, choices, rules, say, showLimits } from "./forms.js";
import { asCsv, offer, showSegments } from "./segments.js";
import { Failure, Server } from "./server.js";
import { Shown } from "./shown.js";
import { bytes, spoken } from "./words.js";

const $ = (id) => document.getElementById(id);
/** How often a busy server is asked again before a person has to. */
const MOST_TRIES = 20;

const server = new Server(askKey);
const film = new Film($("film"), $("unplayable"));
const shown = new Shown(film);
const explanation = new Explanation(server);
let models = [];
let limits = {};
let video = null; // {name, blob, file} or {name, blob, sample}
let running = null; // an AbortController while the server is asked

const model = () => models.find((one) => one.name === $("model").value);

function describe() {
  $("about").textContent = model()?.description ?? "";
}

function trouble(failure) {
  const titles = {
    decode: "This video cannot be read.", too_large: "This video is too large.", busy: "The server is busy.",
    timeout: "It took too long.", unauthorised: "The server wants a key.", lost: "No connection.",
  };
  const title = document.createElement("strong");
  title.textContent = titles[failure.kind] ?? "That did not work.";
  const kept = shown.answers?.windows.length ? " What was answered so far stays." : "";
  $("trouble").replaceChildren(title, ` ${failure.message}${kept}`);
  $("trouble").hidden = false;
}

/** Shows a video and asks about it. */
function take(chosen) {
  running?.abort();
  video = chosen;
  $("trouble").hidden = true;
  $("name").replaceChildren(Object.assign(document.createElement("bdi"), { textContent: video.name }));
  $("shown").hidden = false;
  document.body.classList.add("chosen");
  film.show(video.blob);
  ask();
  $("work").scrollIntoView({ block: "start" });
}

async function ask() {
  const mine = running = new AbortController();
  const asked = model();
  $("trouble").hidden = true;
  $("again").hidden = true;
  $("cancel").hidden = false;
  $("work").hidden = $("doing").hidden = $("progress").hidden = false;
  $("segments-box").hidden = $("downloads").hidden = true;
  $("segments-note").textContent = "They come when all of the video was seen.";
  shown.begin();
  explanation.begin(video, asked, () => [shown.head, film.now]);
  try {
    const large = video.file && limits.bytes && video.file.size > limits.bytes;
    if (large) {
      const sizes = `It has ${bytes(video.file.size)}; this server takes files of up to ${bytes(limits.bytes)}.`;
      throw new Failure("too_large", sizes);
    }
    await untilFree(asked, mine.signal);
    if (mine === running) finish();
  } catch (failure) {
    if (mine !== running) return; // another video was chosen meanwhile
    if (failure.kind === "cancelled") finish("Cancelled.");
    else {
      if (!(failure instanceof Failure)) console.error(failure);
      trouble(failure);
      finish("");
      const hopeless = !shown.answers.windows.length && ["decode", "too_large"].includes(failure.kind);
      if (hopeless) $("shown").hidden = $("work").hidden = true;
    }
  }
}

/** Asks until the server is not too busy to answer. */
async function untilFree(asked, signal) {
  for (let tries = 1; ; tries++) {
    try {
      await watch(asked, signal);
      return;
    } catch (failure) {
      if (failure.kind !== "busy" || shown.answers.windows.length || tries === MOST_TRIES) throw failure;
      await wait(Math.min(Math.max(failure.wait, 1), 120), signal);
    }
  }
}

async function wait(seconds, signal) {
  say(`The server is busy. It is asked again in ${spoken(seconds)}.`);
  progress(null);
  for (let left = Math.ceil(seconds); left > 0; left--) {
    $("doing").textContent = `The server is busy. It is asked again in ${left} s.`;
    await new Promise((done, fail) => {
      const cancelled = () => fail(new Failure("cancelled", "Cancelled."));
      const timer = setTimeout(() => { signal.removeEventListener("abort", cancelled); done(); }, 1000);
      signal.addEventListener("abort", () => { clearTimeout(timer); cancelled(); }, { once: true });
    });
  }
}

function progress(share) {
  if (share === null) $("progress").removeAttribute("value");
  else $("progress").value = share;
}

async function watch(asked, signal) {
  const doing = (text) => { $("doing").textContent = text; };
  doing(video.file ? "Sending the video." : "Asking the server.");
  say(`Asking about ${video.name}.`);
  progress(video.file ? 0 : null);
  const sent = (share) => {
    doing(share < 1 ? `Sending the video: ${Math.floor(100 * share)} %.` : "Sent. Waiting for the first answer.");
    progress(share < 1 ? share : null);
  };
  const heard = (name, value) => {
    if (name === "start") shown.start(value);
    if (name === "window") {
      shown.add(value);
      const whole = shown.answers.announced;
      doing(whole
        ? `Seen ${spoken(value.seen_seconds)} of ${spoken(whole)}.`
        : `Seen ${spoken(value.seen_seconds)}.`);
      progress(whole ? Math.min(value.seen_seconds / whole, 1) : null);
    }
    if (name === "segments") shown.finish(value);
  };
  await server.timeline(video, { model: asked?.name, ...rules() }, { heard, sent, signal });
}

/** The server has said all, or nothing more will come. */
function finish(why = null) {
  running = null;
  const focused = document.activeElement === $("cancel");
  $("cancel").hidden = true;
  $("again").hidden = false;
  if (focused) $("again").focus();
  $("progress").hidden = true;
  const { result, windows } = shown.answers;
  if (result) {
    const found = result.segments.length;
    const left = showSegments($("segments"), result.segments, (seconds) => film.seek(seconds));
    $("segments-box").hidden = !found;
    const count = found === 1 ? "One segment" : `${found || "No"} segments`;
    $("segments-note").textContent = `${count}.${left ? ` ${left} of them are in the files only.` : ""}`;
    const stem = video.name.replace(/\.[^.]*$/, "") || "video";
    offer($("as-json"), `${stem}.json`, `${JSON.stringify(result, null, 1)}\n`, "application/json");
    offer($("as-csv"), `${stem}.csv`, asCsv(result.segments), "text/csv");
    $("downloads").hidden = false;
    why ??= `Done: ${spoken(result.duration_seconds)} seen, ${windows.length} answers, ${count.toLowerCase()}.`;
  } else {
    $("segments-note").textContent = "None: the video was not seen to its end.";
  }
  $("doing").textContent = why ?? "";
  $("doing").hidden = !why;
  if (why) say(why);
}

function takeFile(file) {
  if (file) take({ name: file.name, blob: file, file });
}

function listen() {
  $("file").addEventListener("change", () => {
    takeFile($("file").files[0]);
    $("file").value = ""; // the same file may be chosen again
  });
  $("cancel").addEventListener("click", () => running?.abort());
  $("again").addEventListener("click", () => { ask(); $("cancel").focus(); });
  $("model").addEventListener("change", describe);
  let inside = 0;
  const carries = (event) => event.dataTransfer?.types.includes("Files");
  const mark = (by) => { inside = Math.max(inside + by, 0); $("drop").classList.toggle("over", inside > 0); };
  addEventListener("dragenter", (event) => { if (carries(event)) mark(1); });
  addEventListener("dragleave", (event) => { if (carries(event)) mark(-1); });
  addEventListener("dragover", (event) => { if (carries(event)) event.preventDefault(); });
  addEventListener("drop", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    mark(-inside);
    takeFile(event.dataTransfer.files[0]);
  });
}

async function takeSample({ name, title }) {
  try {
    take({ name: title, blob: await server.sample(name), sample: name });
  } catch (failure) {
    trouble(failure);
  }
}

/** What this server has: models, limits, sample clips. */
async function meet() {
  try {
    const found = await server.models();
    [models, limits] = [found.models, found.limits ?? {}];
    $("model").replaceChildren(...models.map(({ name }) => new Option(name)));
    $("model").value = found.default;
    $("models").hidden = models.length < 2;
    describe();
    showLimits($("limits"), limits);
    choices($("samples"), await server.samples(), takeSample);
  } catch (failure) {
    trouble(failure);
  }
}

listen();
meet();
