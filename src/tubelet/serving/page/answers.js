// What was answered: windows as they arrive, and the lists of a moment.
import { answer } from "./words.js";

/** Classes of a head whose curves are drawn. */
const MOST = 12;

/** Answers of one look at a video. */
export class Answers {
  heads = [];
  windows = [];
  /** What the server says at the end: segments, and probabilities of the classes that matter. */
  result = null;
  duration = 0;
  /** How long the file says it is; null where it says nothing. */
  announced = null;
  #places = new Map();

  start({ heads, duration_seconds: duration }) {
    this.heads = heads;
    this.announced = duration;
    this.duration = duration ?? 0;
  }

  add(window) {
    this.windows.push(window);
    this.duration = Math.max(this.duration, window.seen_seconds, window.end_seconds);
    for (const { name, classes } of this.heads) {
      for (const [label] of window.heads[name]) if (classes.includes(label)) this.place(name, label);
    }
  }

  finish(result) {
    this.result = result;
    this.duration = Math.max(this.duration, result.duration_seconds);
  }

  /** Which of a head's classes this one is, by when it first was among the best. */
  place(head, label) {
    if (!this.#places.has(head)) this.#places.set(head, new Map());
    const places = this.#places.get(head);
    if (!places.has(label)) places.set(label, places.size);
    return places.get(label);
  }

  /** Seconds from one window to the next. */
  get step() {
    const [one, two] = this.windows;
    return two ? two.start_seconds - one.start_seconds : 1;
  }

  /** The window whose middle is nearest to a moment; -1 where none has been answered so far. */
  at(seconds) {
    const middle = (i) => (this.windows[i].start_seconds + this.windows[i].end_seconds) / 2;
    let [low, high] = [0, this.windows.length - 1];
    if (high < 0 || (!this.result && seconds > this.windows[high].end_seconds)) return -1;
    while (low < high) {
      const between = (low + high) >> 1;
      if ((middle(between) + middle(between + 1)) / 2 <= seconds) low = between + 1;
      else high = between;
    }
    return low;
  }

  /** Curves of a head: [{label, place, times, values}]; values are null where a class was not among the best. */
  curves(head) {
    const final = this.result?.probabilities?.[head.name];
    if (final) {
      const { start_seconds: starts, end_seconds: ends } = final;
      return final.classes.map((label, i) => (
        { label, place: this.place(head.name, label), ...spread(starts, ends, final.values[i]) }));
    }
    const places = [...this.#places.get(head.name) ?? []].sort(([, a], [, b]) => a - b).slice(0, MOST);
    const values = new Map(places.map(([label]) => [label, new Array(this.windows.length).fill(null)]));
    this.windows.forEach((window, i) => {
      for (const [label, value] of window.heads[head.name]) if (values.has(label)) values.get(label)[i] = value;
    });
    const starts = this.windows.map((window) => window.start_seconds);
    const ends = this.windows.map((window) => window.end_seconds);
    return places.map(([label, place]) => ({ label, place, ...spread(starts, ends, values.get(label)) }));
  }

  segments(head) {
    return (this.result?.segments ?? []).filter((one) => one.head === head.name)
      .map((one) => ({ ...one, place: this.place(head.name, one.label) }));
  }
}

/** Each value stands in the middle of its time; the first holds from the beginning, the last to the end. */
function spread(starts, ends, values) {
  const middles = starts.map((start, i) => (start + ends[i]) / 2);
  return {
    times: [...starts.slice(0, 1), ...middles, ...ends.slice(-1)],
    values: [...values.slice(0, 1), ...values, ...values.slice(-1)],
  };
}

/** The best answers of a head, as rows of a list that are written anew only where they differ. */
export function showTop(list, pairs, head, colour) {
  while (list.children.length > pairs.length) list.lastElementChild.remove();
  pairs.forEach(([label, value], i) => {
    const row = list.children[i] ?? list.appendChild(emptyRow());
    const [name, track, number] = row.children;
    if (name.textContent !== label) name.textContent = label;
    const bar = track.firstElementChild;
    bar.className = colour(label);
    bar.style.width = head.kind === "number" ? "0" : `${100 * value}%`;
    number.textContent = answer(value, head.kind);
  });
}

function emptyRow() {
  const row = document.createElement("li");
  const parts = ["bdi", "span", "span"].map((name) => document.createElement(name));
  parts[1].className = "track";
  parts[1].append(document.createElement("i"));
  parts[2].className = "n";
  row.append(...parts);
  return row;
}
