/** Reads text/event-stream that arrives in pieces, wherever they are cut. Whole events are given as (name, data). */
export class EventReader {
  #rest = "";
  #name = "";
  #data = [];
  #give;

  constructor(give) {
    this.#give = give;
  }

  push(piece) {
    this.#rest += piece;
    let begin = 0;
    for (const match of this.#rest.matchAll(/\r\n|\n|\r/g)) {
      // A carriage return at the very end may be half of a line's end.
      if (match[0] === "\r" && match.index === this.#rest.length - 1) break;
      this.#line(this.#rest.slice(begin, match.index));
      begin = match.index + match[0].length;
    }
    this.#rest = this.#rest.slice(begin);
  }

  #line(line) {
    if (line === "") {
      if (this.#data.length) this.#give(this.#name || "message", this.#data.join("\n"));
      [this.#name, this.#data] = ["", []];
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#name = value;
    if (field === "data") this.#data.push(value);
  }
}
