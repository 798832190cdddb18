// The segments as a table, and as files.
import { clock } from "./words.js";

/** Rows of the table; the files have all. */
const MOST_ROWS = 500;
const COLUMNS = ["head", "label", "start_seconds", "end_seconds", "probability", "peak"];

/** Write the rows; `seek(seconds)` for the buttons in them. Returns how many segments are in the files only. */
export function showSegments(body, segments, seek) {
  body.replaceChildren(...segments.slice(0, MOST_ROWS).map((one) => {
    const row = document.createElement("tr");
    const cells = [
      clock(one.start_seconds), clock(one.end_seconds), one.head, one.label,
      `${Math.round(100 * one.probability)} %`, `${Math.round(100 * one.peak)} %`,
    ].map((text, column) => {
      const cell = document.createElement("td");
      const inside = document.createElement(column === 0 ? "button" : "bdi");
      inside.textContent = text;
      cell.append(inside);
      if (column !== 2 && column !== 3) cell.className = "n";
      return cell;
    });
    const button = cells[0].firstElementChild;
    button.type = "button";
    button.className = "link";
    button.setAttribute("aria-label", `Go to ${button.textContent}, ${one.label}`);
    button.addEventListener("click", () => seek(one.start_seconds));
    row.append(...cells);
    return row;
  }));
  return Math.max(segments.length - MOST_ROWS, 0);
}

/** A line for each segment, as `tubelet timeline --csv` writes it. */
export function asCsv(segments) {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const lines = segments.map((one) => COLUMNS.map((column) => quoted(String(one[column]))).join(","));
  return [COLUMNS.join(","), ...lines, ""].join("\n");
}

/** Lets a link give this text as a file. */
export function offer(link, name, text, type) {
  if (link.href.startsWith("blob:")) URL.revokeObjectURL(link.href);
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
}
