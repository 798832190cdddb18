// What is asked of a person, and said to one.
import { bytes, spoken } from "./words.js";

const $ = (id) => document.getElementById(id);

/** Tells those who listen and do not see; once, and no more than is needed. */
export function say(text) {
  if ($("said").textContent !== text) $("said").textContent = text;
}

/** The key a person types, or null. */
export function askKey(again) {
  const dialog = $("key-dialog");
  $("key-why").textContent = again ? "That key was not accepted." : "Whoever runs it can give you one.";
  $("key").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  $("key").focus();
  $("key-cancel").onclick = () => dialog.close("");
  return new Promise((done) => {
    $("key-form").onsubmit = (event) => {
      event.preventDefault(); // the key stays out of the address
      dialog.close("key");
    };
    dialog.onclose = () => {
      const typed = $("key").value.trim();
      $("key").value = "";
      done(dialog.returnValue === "key" && typed ? typed : null);
    };
  });
}

/** How answers are to become segments, as the server's options. */
export function rules() {
  const [smooth, least] = ["smooth", "least"].map((id) => $(id).value);
  return {
    smooth_seconds: Number(smooth) ? smooth : null,
    least_seconds: least,
    respect_cuts: $("cuts").checked ? "true" : null,
  };
}

/** What the server takes, before somebody sends it in vain. */
export function showLimits(note, limits) {
  const parts = [limits.bytes && bytes(limits.bytes), limits.seconds && spoken(limits.seconds)].filter(Boolean);
  const most = parts.length ? `Up to ${parts.join(" and ")}. ` : "";
  note.textContent = `${most}It goes to this server and nowhere else.`;
}

/** A button for each sample clip. */
export function choices(box, samples, take) {
  box.hidden = !samples.length;
  box.querySelector("ul").replaceChildren(...samples.map((one) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.append(Object.assign(document.createElement("bdi"), { textContent: one.title }));
    const length = Object.assign(document.createElement("small"), { textContent: ` ${spoken(one.seconds)}` });
    if (one.seconds) button.append(length);
    button.addEventListener("click", () => take(one));
    item.append(button);
    return item;
  }));
}
