import { clock } from "./words.js";

const $ = (id) => document.getElementById(id);
const STILL = matchMedia("(prefers-reduced-motion: reduce)");

/** The film of where the model looks: a button that shows it for the moment, and hides it again. */
export class Explanation {
  #server;
  #video = null;
  #model = null;
  #where = () => [null, 0];
  #asking = null;
  #address = "";

  constructor(server) {
    this.#server = server;
    $("explain").addEventListener("click", () => {
      if ($("explain").getAttribute("aria-pressed") === "true") this.#hide();
      else this.#ask();
    });
    $("explain-again").addEventListener("click", () => { this.#ask(); $("explain").focus(); });
  }

  /** Of another video or model; `where()` gives the head and the moment that are shown. */
  begin(video, model, where) {
    this.#hide();
    [this.#video, this.#model, this.#where] = [video, model, where];
    $("explaining").hidden = !model?.explains;
  }

  #hide() {
    this.#asking?.abort();
    $("explain").setAttribute("aria-pressed", "false");
    $("where").hidden = $("overlay").hidden = true;
    $("overlay").pause();
    $("where-said").textContent = "";
  }

  async #ask() {
    this.#asking?.abort();
    const mine = this.#asking = new AbortController();
    const [head, seconds] = this.#where();
    $("explain").setAttribute("aria-pressed", "true");
    $("where").hidden = false;
    $("overlay").hidden = $("explain-again").hidden = true;
    $("where-said").textContent = `Finding out where the model looks around ${clock(seconds)}.`;
    const options = { model: this.#model.name, head: head?.name, at_seconds: seconds.toFixed(3) };
    try {
      const { film, of } = await this.#server.explain(this.#video, options, mine.signal);
      if (mine !== this.#asking) return;
      this.#show(film, of, seconds);
    } catch (failure) {
      if (mine !== this.#asking || failure.kind === "cancelled") return;
      $("where-said").textContent = `That did not work. ${failure.message}`;
    }
    $("explain-again").hidden = false;
  }

  #show(film, of, seconds) {
    if (this.#address) URL.revokeObjectURL(this.#address);
    this.#address = URL.createObjectURL(film);
    $("overlay").src = this.#address;
    $("overlay").hidden = false;
    const cut = of.indexOf("=");
    const [head, label] = cut < 0 ? ["", of] : [of.slice(0, cut), of.slice(cut + 1)];
    const what = label ? `${head ? `${head}: ` : ""}${label}, ` : "";
    $("where-said").textContent = `${what}around ${clock(seconds)}. Left: what the model sees. `
      + "Right: the same, dark and grey where it did not look.";
    if (!STILL.matches) $("overlay").play().catch(() => {}); // the person can start it
  }
}
