import { clock, marks, spoken } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000;
const HEIGHT = 100;
const COLOURS = 6;
/** A larger step by keyboard, of the whole. */
const PAGE = 0.1;

/** The class of style of a head's class: six colours, and again with broken lines. */
export function ink(place) {
  return `ink-${place % COLOURS}${place >= COLOURS ? " broken" : ""}`;
}

function element(name, classes, parent) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  parent?.append(made);
  return made;
}

/**
 * Curves over time, a band of segments under them, and a line at the moment that is shown: a slider.
 * `seek(seconds)` is called where a person wants another moment, `play()` for the space bar.
 */
export class TimelineView {
  #box; #plot; #curves; #band; #axis; #line; #high; #low;
  #duration = 0;
  #step = 0.1;
  #now = 0;

  constructor(box, { seek, play }) {
    this.#box = box;
    this.#plot = element("div", "plot", box);
    this.#high = element("span", "high", this.#plot);
    this.#low = element("span", "low", this.#plot);
    this.#curves = document.createElementNS(SVG, "svg");
    this.#curves.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.#curves.setAttribute("preserveAspectRatio", "none");
    this.#curves.setAttribute("aria-hidden", "true");
    this.#plot.append(this.#curves);
    this.#band = element("div", "band", box);
    this.#axis = element("div", "axis", box);
    this.#line = element("div", "playhead", box);
    this.#listen(seek, play);
    new ResizeObserver(() => this.#drawAxis()).observe(box);
  }

  #listen(seek, play) {
    const there = (event) => {
      const { left, width } = this.#box.getBoundingClientRect();
      seek((Math.min(Math.max(event.clientX - left, 0), width) / width) * this.#duration);
    };
    this.#box.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.#box.setPointerCapture(event.pointerId);
      there(event);
    });
    this.#box.addEventListener("pointermove", (event) => {
      if (this.#box.hasPointerCapture(event.pointerId)) there(event);
    });
    this.#box.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const [now, end, page] = [this.#now, this.#duration, this.#duration * PAGE];
      const to = {
        ArrowLeft: now - this.#step, ArrowDown: now - this.#step,
        ArrowRight: now + this.#step, ArrowUp: now + this.#step,
        PageDown: now - page, PageUp: now + page, Home: 0, End: end,
      }[event.key];
      if (to === undefined && event.key !== " ") return;
      event.preventDefault();
      if (to === undefined) play();
      else seek(Math.min(Math.max(to, 0), end));
    });
  }

  /** How long the whole is, and how far an arrow key goes. */
  extent(duration, step) {
    this.#step = Math.max(step, 0.1);
    if (duration === this.#duration) return;
    this.#duration = duration;
    this.#box.setAttribute("aria-valuemax", duration.toFixed(1));
    this.#drawAxis();
    this.at(this.#now);
  }

  #x(seconds) {
    return this.#duration ? Math.min(seconds / this.#duration, 1) : 0;
  }

  #drawAxis() {
    const most = Math.max(Math.floor(this.#box.clientWidth / 70), 2);
    this.#axis.replaceChildren(...(this.#duration ? marks(this.#duration, most) : []).map((seconds) => {
      const mark = element("span");
      mark.textContent = clock(seconds);
      mark.style.left = `${100 * this.#x(seconds)}%`;
      if (this.#x(seconds) > 0.96) mark.className = "last";
      return mark;
    }));
  }

  /** Curves of a head: [{place, times, values}], between two values, which are written beside them. */
  curves(lines, [low, high], [lowText, highText]) {
    this.#low.textContent = lowText;
    this.#high.textContent = highText;
    const y = (value) => (HEIGHT * (1 - (value - low) / (high - low || 1))).toFixed(2);
    this.#curves.replaceChildren(...[0.25, 0.5, 0.75].map((part) => {
      const line = document.createElementNS(SVG, "line");
      line.setAttribute("class", "grid");
      line.setAttribute("x2", WIDTH);
      line.setAttribute("y1", HEIGHT * part);
      line.setAttribute("y2", HEIGHT * part);
      return line;
    }), ...lines.map(({ place, times, values }) => {
      const curve = document.createElementNS(SVG, "path");
      let pen = "M";
      const steps = values.map((value, i) => {
        if (value === null) { pen = "M"; return ""; }
        const step = `${pen}${(WIDTH * this.#x(times[i])).toFixed(2)} ${y(value)}`;
        pen = "L";
        return step;
      });
      curve.setAttribute("class", `curve ${ink(place)}`);
      curve.setAttribute("d", steps.join(""));
      return curve;
    }));
  }

  /** Segments of a head: [{start_seconds, end_seconds, label, place}]; in several rows where they overlap. */
  segments(list) {
    const rows = [];
    this.#band.replaceChildren();
    for (const one of list) {
      let row = rows.find((other) => other.end <= one.start_seconds + 1e-6);
      if (!row) rows.push(row = { box: element("div", "row", this.#band) });
      row.end = one.end_seconds;
      const bar = element("span", ink(one.place), row.box);
      bar.style.left = `${100 * this.#x(one.start_seconds)}%`;
      bar.style.width = `${100 * (this.#x(one.end_seconds) - this.#x(one.start_seconds))}%`;
      bar.textContent = one.label;
      bar.title = `${one.label}: ${clock(one.start_seconds)} to ${clock(one.end_seconds)}`;
    }
  }

  /** The moment that is shown. */
  at(seconds) {
    this.#now = seconds;
    this.#line.style.left = `${100 * this.#x(seconds)}%`;
  }

  /** What the slider is for those who do not see it. Not told while a video plays: it would never be silent. */
  tell(label) {
    this.#box.setAttribute("aria-valuenow", this.#now.toFixed(1));
    const of = this.#duration ? ` of ${spoken(this.#duration)}` : "";
    this.#box.setAttribute("aria-valuetext", `${clock(this.#now)}${of}${label ? `, ${label}` : ""}`);
  }
}
