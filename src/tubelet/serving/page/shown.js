// What is shown of the answers at a moment: the head's best, the curves, the segments.
import { Answers, showTop } from "./answers.js";
import { say } from "./forms.js";
import { ink, TimelineView } from "./timeline.js";
import { answer, clock } from "./words.js";

const $ = (id) => document.getElementById(id);
/** While a video plays, another answer is told to those who listen no more often than this. */
const QUIET_MILLISECONDS = 4000;

export class Shown {
  answers = null;
  head = null;
  #film; #timeline;
  #drawn = false;
  /** Of the window that is shown: -1 is none, null is not drawn. */
  #index = null;
  #told = { label: "", when: 0 };

  constructor(film) {
    this.#film = film;
    film.moved = (seconds, playing) => this.#at(seconds, playing);
    this.#timeline = new TimelineView($("timeline"), {
      seek: (seconds) => film.seek(seconds), play: () => film.toggle(),
    });
    $("timeline").addEventListener("focus", () => this.#timeline.tell(this.#words()));
  }

  /** Another look at a video: nothing is answered so far. */
  begin() {
    this.answers = new Answers();
    $("heads").hidden = true;
    this.#index = null;
    this.#redraw();
  }

  start(value) {
    this.answers.start(value);
    const before = this.head?.name;
    this.head = this.answers.heads.find((one) => one.name === before) ?? this.answers.heads[0];
    this.#offerHeads();
    this.#redraw();
  }

  add(window) {
    this.answers.add(window);
    if (this.answers.windows.length === 1) this.#film.begin();
    this.#redraw();
  }

  finish(result) {
    this.answers.finish(result);
    this.#redraw();
  }

  #offerHeads() {
    const { heads } = this.answers;
    $("heads").hidden = heads.length < 2;
    $("heads").replaceChildren($("heads").firstElementChild, ...heads.map((head, i) => {
      const row = document.createElement("div");
      const radio = Object.assign(document.createElement("input"), {
        type: "radio", name: "head", id: `head-${i}`, value: head.name, checked: head === this.head,
      });
      const label = Object.assign(document.createElement("label"), { htmlFor: radio.id });
      label.append(Object.assign(document.createElement("bdi"), { textContent: head.name }));
      radio.addEventListener("change", () => { this.head = head; this.#index = null; this.#redraw(); });
      row.append(radio, label, document.createElement("bdi"));
      return row;
    }));
  }

  /** Draws all anew, once for all that comes before the next picture. */
  #redraw() {
    if (this.#drawn) return;
    this.#drawn = true;
    requestAnimationFrame(() => { this.#drawn = false; this.#draw(); });
  }

  #draw() {
    const { answers, head } = this;
    this.#timeline.extent(Math.max(answers.duration, this.#film.duration), answers.step);
    const curves = head ? answers.curves(head) : [];
    let scale = [0, 1];
    if (head?.kind === "number") {
      const values = curves.flatMap((one) => one.values).filter((one) => one !== null);
      scale = values.length ? [Math.min(...values), Math.max(...values)] : scale;
    }
    this.#timeline.curves(curves, scale, scale.map((value) => (curves.length ? answer(value, head.kind) : "")));
    this.#timeline.segments(head ? answers.segments(head) : []);
    $("timeline-of").textContent = answers.heads.length > 1 ? ` of ${head.name}` : "";
    $("legend").replaceChildren(...curves.map(({ label, place }) => {
      const item = document.createElement("li");
      const key = document.createElement("i");
      key.className = ink(place);
      item.append(key, Object.assign(document.createElement("bdi"), { textContent: label }));
      return item;
    }));
    this.#at(this.#film.now, this.#film.playing);
  }

  #at(seconds, playing) {
    $("clock").textContent = clock(seconds);
    this.#timeline.at(seconds);
    const index = this.answers?.at(seconds) ?? -1;
    if (index !== this.#index) {
      this.#index = index;
      this.#answer();
    }
    if (!playing) this.#timeline.tell(this.#words());
    else this.#tell();
  }

  /** The lists of the moment. */
  #answer() {
    const window = this.answers.windows[this.#index];
    $("no-answer").hidden = Boolean(window);
    $("top").hidden = !window;
    if (!window) return;
    const { head } = this;
    showTop($("top"), window.heads[head.name], head, (label) => (
      head.classes.includes(label) ? ink(this.answers.place(head.name, label)) : ""));
    this.answers.heads.forEach((one, i) => {
      const [label, value] = window.heads[one.name][0];
      $("heads").children[i + 1].lastElementChild.textContent = `${label} ${answer(value, one.kind)}`;
    });
  }

  #words() {
    const best = this.head && this.answers.windows[this.#index]?.heads[this.head.name]?.[0];
    return best ? `${best[0]} ${answer(best[1], this.head.kind)}` : "";
  }

  #tell() {
    const label = this.answers.windows[this.#index]?.heads[this.head.name][0][0];
    if (!label || label === this.#told.label || performance.now() - this.#told.when < QUIET_MILLISECONDS) return;
    this.#told = { label, when: performance.now() };
    say(`${clock(this.#film.now)}: ${label}`);
  }
}
