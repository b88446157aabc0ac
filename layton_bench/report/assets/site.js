// Sorting, filtering, the switch between plots, and the viewer. Without it everything still shows.
"use strict";

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- tables -------------------------------------------------------------------------------------

const order = (cell) => {
  const text = cell.dataset.order;
  if (text === undefined) return null;
  if (text === "inf" || text === "-inf") return text === "inf" ? Infinity : -Infinity;
  return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
};

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a < b ? -1 : a > b ? 1 : 0;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}

function sortBy(table, index, direction) {
  const sign = direction === "ascending" ? 1 : -1;
  const rows = all("tbody tr", table).map((row) => [order(row.cells[index]), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing comes last
    return sign * compare(a, b);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
  all("thead th", table).forEach((th, i) => {
    if (i === index) th.setAttribute("aria-sort", direction);
    else th.removeAttribute("aria-sort");
  });
}

for (const table of all("table.sortable")) {
  all("thead th", table).forEach((th, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...th.childNodes);
    th.append(button);
    button.addEventListener("click", () => {
      const now = th.getAttribute("aria-sort");
      const turned = now === "ascending" ? "descending" : "ascending";
      sortBy(table, index, now ? turned : th.dataset.first);
    });
  });
}

for (const label of all(".filter")) {
  const input = label.querySelector("input");
  const rows = all("tbody tr", document.getElementById(input.getAttribute("aria-controls")));
  label.hidden = false;
  input.addEventListener("input", () => {
    const wanted = input.value.trim().toLowerCase();
    for (const row of rows) {
      row.hidden = !row.querySelector("th.name").dataset.order.toLowerCase().includes(wanted);
    }
    const left = rows.filter((row) => !row.hidden).length;
    label.querySelector("output").textContent = wanted ? `${left} of ${rows.length}` : "";
  });
}

// ---- plots --------------------------------------------------------------------------------------

for (const group of all("[data-figures]")) {
  const figures = all("figure", group);
  if (figures.length < 2) continue;
  const label = group.querySelector(".switch");
  const select = label.querySelector("select");
  const show = () => figures.forEach((f, i) => { f.hidden = i !== Number(select.value); });
  label.hidden = false;
  group.classList.add("switched");
  select.addEventListener("change", show);
  show();
}

// ---- provenance: a link to a run opens it -------------------------------------------------------

function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
}
window.addEventListener("hashchange", openTarget);
openTarget();

// ---- viewer -------------------------------------------------------------------------------------

const viewer = document.getElementById("viewer");
if (viewer) startViewer(viewer, JSON.parse(document.getElementById("gallery-data").textContent));

function startViewer(root, { models, samples }) {
  const part = Object.fromEntries(all("[data-role]", root).map((e) => [e.dataset.role, e]));
  const ZOOMS = [1, 2, 4, 8];
  const ORIGINAL = "original";
  let zoom = 0;

  const option = (value, text, disabled) => {
    const made = new Option(text, value);
    made.disabled = disabled;
    return made;
  };
  const file = (sample, who) => (who === ORIGINAL ? sample.reference : sample.pictures[who]);
  const name = (who) => (who === ORIGINAL ? "Original" : models[who]);
  const current = () => samples[Number(part.sample.value)];

  function fill(select, wanted, other) {
    const sample = current();
    const known = [ORIGINAL, ...models.keys()].map(String);
    const there = known.filter((who) => file(sample, who));
    select.replaceChildren(
      ...known
        .filter((who) => who !== ORIGINAL || samples.some((s) => s.reference))
        .map((who) => option(who, name(who) + (file(sample, who) ? "" : " (not kept)"), !file(sample, who))),
    );
    const differs = (who) => file(sample, who) !== file(sample, other);
    select.value = there.includes(wanted) ? wanted : there.find(differs) ?? there[0];
    return wanted === "" || select.value === wanted ? "" : `No picture of this sample by ${name(wanted)} was kept. `;
  }

  function choose(place, left, right) {
    part.sample.value = String(place);
    const said = fill(part.left, left, right) + fill(part.right, right, part.left.value);
    part.status.textContent = said;
    show();
  }

  function show() {
    const sample = current();
    for (const side of ["left", "right"]) {
      const who = part[side].value;
      const image = part[`${side}-image`];
      image.src = file(sample, who);
      image.alt = `${sample.key}: ${name(who)}`;
      const caption = who === ORIGINAL ? "" : sample.captions[who];
      part[`${side}-caption`].textContent = [name(who), caption].filter(Boolean).join(": ");
    }
  }

  function divide(percent) {
    const share = Math.min(100, Math.max(0, percent));
    part.slide.value = String(share);
    part.slide.setAttribute("aria-valuetext", `${Math.round(share)}% left`);
    part.clip.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    part.handle.style.left = `${share}%`;
  }

  function magnify(step) {
    const stage = part.stage;
    const before = ZOOMS[zoom];
    zoom = Math.min(ZOOMS.length - 1, Math.max(0, step));
    const ratio = ZOOMS[zoom] / before;
    const middle = [stage.scrollLeft + stage.clientWidth / 2, stage.scrollTop + stage.clientHeight / 2];
    part.canvas.style.width = `${100 * ZOOMS[zoom]}%`;
    stage.scrollLeft = middle[0] * ratio - stage.clientWidth / 2;
    stage.scrollTop = middle[1] * ratio - stage.clientHeight / 2;
    part.zoom.textContent = `${ZOOMS[zoom]}×`;
    part.out.disabled = zoom === 0;
    part.in.disabled = zoom === ZOOMS.length - 1;
  }

  const toPercent = (event) => {
    const box = part.canvas.getBoundingClientRect();
    return (100 * (event.clientX - box.left)) / box.width;
  };

  part.stage.addEventListener("pointerdown", (event) => {
    const onHandle = event.target === part.handle;
    // a finger beside the line scrolls the page or the picture; a mouse drags the picture
    if (!onHandle && (event.pointerType !== "mouse" || event.button !== 0)) return;
    if (!part.canvas.contains(event.target)) return;
    event.preventDefault();
    part.stage.focus({ preventScroll: true });
    const drags = !onHandle && zoom > 0;
    if (!drags) divide(toPercent(event));
    const move = (moved) => {
      if (drags) {
        part.stage.scrollLeft -= moved.movementX;
        part.stage.scrollTop -= moved.movementY;
      } else divide(toPercent(moved));
    };
    const end = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  });

  part.stage.addEventListener("keydown", (event) => {
    const steps = { "+": zoom + 1, "=": zoom + 1, "-": zoom - 1, 0: 0 };
    if (event.ctrlKey || event.metaKey || !(event.key in steps)) return;
    event.preventDefault();
    magnify(steps[event.key]);
  });
  part.slide.addEventListener("input", () => divide(Number(part.slide.value)));
  part.in.addEventListener("click", () => magnify(zoom + 1));
  part.out.addEventListener("click", () => magnify(zoom - 1));
  for (const side of ["sample", "left", "right"]) {
    part[side].addEventListener("change", () => choose(part.sample.value, part.left.value, part.right.value));
  }
  for (const button of all(".open")) {
    button.addEventListener("click", () => {
      const { sample, right = part.right.value } = button.dataset;
      choose(sample, samples[Number(sample)].reference ? ORIGINAL : part.left.value, right);
      root.scrollIntoView({ block: "start" });
      part.slide.focus({ preventScroll: true });
    });
  }

  part.sample.replaceChildren(
    ...samples.map((s, i) => option(i, s.key, !s.reference && !Object.keys(s.pictures).length)),
  );
  root.hidden = false;
  const first = samples.findIndex((s) => Object.keys(s.pictures).length);
  choose(first, samples[first].reference ? ORIGINAL : "", "");
  divide(50);
  magnify(0);
}
