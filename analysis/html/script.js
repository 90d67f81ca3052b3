"use strict";
// Everything from the recording goes through textContent: it can never become markup.
const rows = JSON.parse(document.getElementById("data").textContent).rows;
const body = document.getElementById("rows");
const search = document.getElementById("search");
const matches = document.getElementById("matches");
const SHOWN = 200;
const haystack = rows.map((row) => row.cells.join(" ").toLowerCase());

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function other(row) {
  if (row.pair === null) return null;
  return rows.find((each) => each.pair === row.pair && each !== row) || null;
}

// Both ends' states in one order of time: client left, server right.
function ladder(row) {
  let ends = [row, other(row)].filter((each) => each);
  if (ends.length === 2 && ends[0].cells[3] === "server") ends = ends.reverse();
  const table = element("table");
  const head = element("tr");
  head.append(element("th", "seconds in"));
  for (const end of ends) {
    head.append(element("th", `${end.cells[1]} (${end.cells[3]}) ${end.cells[4]}`));
  }
  table.append(head);
  const steps = ends.flatMap((end, side) =>
    end.steps.map(([time, state, lasted]) => ({ time, state, lasted, side })));
  steps.sort((a, b) => a.time - b.time);
  const current = ends.map(() => null);
  for (const step of steps) {
    const line = element("tr");
    line.append(element("td", step.time.toFixed(6), "number"));
    current[step.side] = step.state;
    ends.forEach((end, side) => {
      if (side === step.side) {
        const text = step.lasted ? `${step.state}  ${step.lasted}` : step.state;
        line.append(element("td", text, `state-cell ${step.state}`));
      } else {
        const quiet = current[side] && current[side] !== "CLOSED";
        line.append(element("td", "", quiet ? "during" : ""));
      }
    });
    table.append(line);
  }
  if (!steps.length) table.append(element("tr", "No state was seen."));
  return table;
}

function toggle(line, row) {
  if (line.nextSibling && line.nextSibling.className === "opened") {
    line.nextSibling.remove();
    line.setAttribute("aria-expanded", "false");
    return;
  }
  const opened = element("tr", undefined, "opened");
  const cell = element("td");
  cell.colSpan = row.cells.length;
  const box = element("div", undefined, "ladder");
  box.append(ladder(row));
  cell.append(box);
  opened.append(cell);
  line.after(opened);
  line.setAttribute("aria-expanded", "true");
}

function show() {
  const words = search.value.toLowerCase().split(/\s+/).filter((word) => word);
  const found = rows.filter((row, place) => words.every((word) => haystack[place].includes(word)));
  body.replaceChildren(...found.slice(0, SHOWN).map((row) => {
    const line = element("tr", undefined, "row");
    line.tabIndex = 0;
    line.setAttribute("aria-expanded", "false");
    for (const cell of row.cells) {
      const made = element("td", cell);
      made.title = cell;
      line.append(made);
    }
    line.addEventListener("click", () => toggle(line, row));
    line.addEventListener("keydown", (event) => {
      if (event.key === "Enter") toggle(line, row);
    });
    return line;
  }));
  matches.textContent = found.length > SHOWN
    ? ` ${found.length} match, the first ${SHOWN} are shown` : ` ${found.length} match`;
}

search.addEventListener("input", show);
show();
