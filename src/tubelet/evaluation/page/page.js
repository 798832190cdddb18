"use strict";
// Everything on the page can be read without this: it sorts tables, and sorts and reads out the heat maps.
const collator = new Intl.Collator(undefined, { numeric: true });

function key(cell) {
  if (cell.dataset.v === undefined) return cell.textContent.trim();
  return cell.dataset.v === "" ? null : Number(cell.dataset.v);
}

function sort(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => [key(row.cells[column]), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is absent is last either way
    return direction * (typeof a === "number" ? a - b : collator.compare(a, b));
  });
  body.append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const descending = before ? before === "ascending" : head.classList.contains("n");
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      sort(table, column, descending ? -1 : 1);
    });
  });
}

for (const figure of document.querySelectorAll("figure.heat")) {
  const svg = figure.querySelector("svg");
  const grid = svg.querySelector(".cells");
  const cursor = svg.querySelector(".cursor");
  const said = figure.querySelector("output");
  const names = JSON.parse(figure.dataset.names);
  const orders = JSON.parse(figure.dataset.orders);
  const cells = [...grid.querySelectorAll("[data-n]")].map((rect) => ({
    rect, row: rect.y.baseVal.value, column: rect.x.baseVal.value,
  }));
  const counts = new Map(cells.map((one) => [one.row * names.length + one.column, Number(one.rect.dataset.n)]));
  const totals = names.map(() => 0);
  for (const one of cells) totals[one.row] += Number(one.rect.dataset.n);
  const labels = [...svg.querySelectorAll("[data-i]")];
  const step = Number(svg.dataset.cell);
  let order = names.map((_, i) => i);
  let row = 0;
  let column = 0;

  function show() {
    const [right, answer] = [order[row], order[column]];
    const n = counts.get(right * names.length + answer) || 0;
    cursor.setAttribute("x", column);
    cursor.setAttribute("y", row);
    cursor.removeAttribute("visibility");
    said.textContent = right === answer
      ? `${names[right]}: ${n} of ${totals[right]} right`
      : `${names[right]} was taken for ${names[answer]}: ${n} of ${totals[right]}`;
  }

  function arrange() {
    const place = [];
    order.forEach((which, i) => { place[which] = i; });
    for (const one of cells) {
      one.rect.setAttribute("x", place[one.column]);
      one.rect.setAttribute("y", place[one.row]);
    }
    for (const label of labels) {
      const at = place[Number(label.dataset.i)] * step + 0.5 * step;
      label.setAttribute("transform", label.classList.contains("column") ? `translate(${at} -4) rotate(-90)` : `translate(-4 ${at})`);
    }
  }

  const wrap = document.createElement("label");
  const choice = document.createElement("select");
  for (const name of Object.keys(orders)) choice.append(new Option(name, name));
  wrap.append("Order of the classes: ", choice);
  figure.prepend(wrap);
  choice.addEventListener("change", () => {
    order = orders[choice.value];
    cursor.setAttribute("visibility", "hidden");
    said.textContent = "";
    arrange();
  });
  svg.addEventListener("pointermove", (event) => {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(grid.getScreenCTM().inverse());
    const [x, y] = [Math.floor(point.x), Math.floor(point.y)];
    if (x < 0 || y < 0 || x >= names.length || y >= names.length) return;
    [row, column] = [y, x];
    show();
  });
  svg.tabIndex = 0;
  svg.addEventListener("keydown", (event) => {
    const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    row = Math.min(Math.max(row + move[0], 0), names.length - 1);
    column = Math.min(Math.max(column + move[1], 0), names.length - 1);
    show();
    cursor.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  for (const hint of figure.querySelectorAll("[hidden]")) hint.hidden = false;
}
