// One chart: points with intervals, lines and bands on linear or logarithmic axes. The pointer, a finger or the arrow
// keys go from point to point, and a note says what the point is.

import { el, svg } from "./dom.js";
import { axis, isNumber } from "./numbers.js";

const HEIGHT = 300;
const EDGE = { left: 68, right: 12, top: 10, bottom: 46 };
/** How far from a point the pointer may be, in pixels. */
const REACH = 28;

/** Outlines of the marks, about (0, 0). */
const MARKS = {
  circle: "M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0Z",
  square: "M-3.8,-3.8H3.8V3.8H-3.8Z",
  triangle: "M0,-4.8L4.6,3.4H-4.6Z",
  down: "M0,4.8L4.6,-3.4H-4.6Z",
  diamond: "M0,-5.2L4.8,0L0,5.2L-4.8,0Z",
  cross: "M-1.6,-4.6H1.6V-1.6H4.6V1.6H1.6V4.6H-1.6V1.6H-4.6V-1.6H-1.6Z",
  star: "M0,-6.4L1.7,-2.1L6.1,-2L2.6,0.8L3.8,5.2L0,2.7L-3.8,5.2L-2.6,0.8L-6.1,-2L-1.7,-2.1Z",
};

/** A place `t` from 0 to 1 among the colours of the learning rates; how light they are is the style sheet's. */
export const ramp = (t) => `oklch(calc(var(--ramp-start) + ${t.toFixed(4)} * var(--ramp-span)) 0.14 ${300 - 215 * t})`;

/**
 * A chart as a figure element.
 *
 * `x` and `y` are {title, log, zero}. A series has a `name`, a `tone` of the style sheet or a `colour`, a `mark` or
 * none, and `points` of {x, y, low, high, hollow, note, href}; `line`, `dash` and `band` say what else is drawn of it.
 * A note is a list of [name, value]. `levels` are labelled horizontal lines, `spans` shaded ranges of x.
 */
export function chart({ title, text, x, y, series, levels = [], spans = [], legend = "marks" }) {
  const drawn = series
    .map((one) => ({
      ...one,
      points: one.points.filter((p) => fits(p.x, x) && fits(p.y, y)).sort((a, b) => a.x - b.x),
    }))
    .filter((one) => one.points.length);
  // An application: of an image, screen readers would keep the arrow keys for themselves.
  const plot = svg("svg", { class: "plot", tabindex: "0", role: "application", "aria-roledescription": "chart" });
  const count = drawn.reduce((sum, one) => sum + (one.note === false ? 0 : one.points.length), 0);
  plot.setAttribute("aria-label", `${title}. ${text} ${count} points: the arrow keys go from one to the next.`);
  const note = el("div", { class: "note", role: "status", "aria-live": "polite", hidden: true });
  const frame = el("div", { class: "frame" }, plot, note);
  const figure = el(
    "figure",
    { class: "chart" },
    el("figcaption", {}, el("h3", {}, title), el("p", {}, text)),
    frame,
    legend ? legendOf(drawn, legend) : null,
  );
  const noted = pointer(
    plot,
    note,
    drawn.filter((one) => one.note !== false),
  );
  const draw = () => {
    const width = Math.round(frame.clientWidth);
    if (width < 100) return;
    const area = areaOf(drawn, x, y, levels, width);
    plot.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    plot.setAttribute("height", HEIGHT);
    const parts = [axes(area, x, y, width), marks(area, drawn, levels, spans, width), svg("path", { class: "ring" })];
    plot.replaceChildren(svg("g", { "aria-hidden": "true" }, parts));
    noted.moved(area);
  };
  new ResizeObserver(draw).observe(frame);
  return figure;
}

const fits = (value, { log }) => isNumber(value) && (!log || value > 0);

function areaOf(drawn, x, y, levels, width) {
  const points = drawn.flatMap((one) => one.points);
  const heights = points.flatMap((p) => [p.y, p.low, p.high]).concat(levels.map((one) => one.y));
  // A log axis has no zero: a bound far below everything, or at zero, is drawn down to the foot of the axis.
  const floor = y.log ? Math.min(...points.map((p) => p.y)) / 3 : -Infinity;
  return {
    x: axis(
      points.map((p) => p.x),
      { log: x.log, start: EDGE.left, end: width - EDGE.right, room: 52 },
    ),
    y: axis(
      heights.map((one) => (isNumber(one) ? Math.max(one, floor) : one)),
      {
        log: y.log,
        zero: y.zero,
        start: HEIGHT - EDGE.bottom,
        end: EDGE.top,
        room: 34,
      },
    ),
    floor,
  };
}

function axes(area, x, y, width) {
  const foot = HEIGHT - EDGE.bottom;
  const parts = [];
  for (const { value, text, major } of area.x.ticks) {
    const at = area.x.at(value).toFixed(1);
    parts.push(svg("line", { class: major || text ? "grid" : "grid minor", x1: at, x2: at, y1: EDGE.top, y2: foot }));
    if (text) parts.push(svg("text", { class: "tick", x: at, y: foot + 17, "text-anchor": "middle" }, text));
  }
  for (const { value, text, major } of area.y.ticks) {
    const at = area.y.at(value).toFixed(1);
    const weight = major || text ? "grid" : "grid minor";
    parts.push(svg("line", { class: weight, x1: EDGE.left, x2: width - EDGE.right, y1: at, y2: at }));
    if (text)
      parts.push(svg("text", { class: "tick", x: EDGE.left - 7, y: at, dy: "0.34em", "text-anchor": "end" }, text));
  }
  const middle = (EDGE.left + width - EDGE.right) / 2;
  const height = (EDGE.top + foot) / 2;
  parts.push(
    svg("path", { class: "axis", d: `M${EDGE.left},${EDGE.top}V${foot}H${width - EDGE.right}` }),
    svg("text", { class: "title", x: middle, y: HEIGHT - 8, "text-anchor": "middle" }, x.title),
    svg("text", { class: "title", transform: `translate(12,${height}) rotate(-90)`, "text-anchor": "middle" }, y.title),
  );
  return parts;
}

function marks(area, drawn, levels, spans, width) {
  const foot = HEIGHT - EDGE.bottom;
  const X = (value) => area.x.at(value).toFixed(1);
  const Y = (value) => area.y.at(Math.max(value, area.floor)).toFixed(1);
  const parts = [];
  for (const { low, high } of spans) {
    const left = Math.max(EDGE.left, area.x.at(low));
    const right = Math.min(width - EDGE.right, area.x.at(high));
    if (right > left)
      parts.push(svg("rect", { class: "span", x: left, width: right - left, y: EDGE.top, height: foot - EDGE.top }));
  }
  for (const { y, text } of levels) {
    parts.push(
      svg("line", { class: "level", x1: EDGE.left, x2: width - EDGE.right, y1: Y(y), y2: Y(y) }),
      svg("text", { class: "tick", x: EDGE.left + 6, y: Y(y), dy: "-0.4em" }, text),
    );
  }
  for (const one of drawn) {
    const group = svg("g", { class: `series ${one.tone ? `tone-${one.tone}` : ""}` });
    if (one.colour) group.style.color = one.colour;
    const { points } = one;
    const bounded = points.filter((p) => isNumber(p.low) && isNumber(p.high));
    if (one.band && bounded.length > 1) {
      const there = bounded.map((p) => `${X(p.x)},${Y(p.high)}`).join("L");
      const back = bounded
        .map((p) => `${X(p.x)},${Y(p.low)}`)
        .reverse()
        .join("L");
      group.append(svg("path", { class: "band", d: `M${there}L${back}Z` }));
    }
    if (one.line) {
      const d = `M${points.map((p) => `${X(p.x)},${Y(p.y)}`).join("L")}`;
      group.append(svg("path", { class: one.dash ? "line dash" : "line", d }));
    }
    for (const p of one.mark ? bounded : []) {
      const [at, low, high] = [area.x.at(p.x), Y(p.low), Y(p.high)];
      group.append(svg("path", { class: "bar", d: `M${at},${low}V${high}M${at - 3},${low}h6M${at - 3},${high}h6` }));
    }
    for (const p of one.mark ? points : []) {
      const mark = MARKS[p.mark ?? one.mark];
      group.append(
        svg("path", { class: p.hollow ? "mark hollow" : "mark", d: mark, transform: `translate(${X(p.x)},${Y(p.y)})` }),
      );
    }
    parts.push(group);
  }
  return parts;
}

function legendOf(drawn, kind) {
  const named = drawn.filter((one) => one.name);
  if (named.length < 2 && kind === "marks") return null;
  const keys = named.map((one) => {
    const key = svg("svg", {
      class: `key ${one.tone ? `tone-${one.tone}` : ""}`,
      viewBox: "-9 -7 18 14",
      "aria-hidden": "true",
    });
    if (one.colour) key.style.color = one.colour;
    if (one.line || one.dash) key.append(svg("path", { class: one.dash ? "line dash" : "line", d: "M-9,0H9" }));
    if (one.mark) key.append(svg("path", { class: "mark", d: MARKS[one.mark] }));
    return el("li", {}, key, one.name);
  });
  return el("ul", { class: "legend" }, keys);
}

/** Shows the note of the point that the pointer, a tap or the keys are at. */
function pointer(plot, note, series) {
  let area = null;
  let at = null;
  let pinned = false;
  const place = ([s, p]) => [area.x.at(series[s].points[p].x), area.y.at(series[s].points[p].y)];
  const hide = () => {
    at = null;
    pinned = false;
    note.hidden = true;
    plot.querySelector(".ring")?.removeAttribute("d");
  };
  const show = (found, pin) => {
    if (!pin && at && found[0] === at[0] && found[1] === at[1]) return;
    at = found;
    pinned = pin;
    const one = series[at[0]].points[at[1]];
    const rows = (one.note ?? []).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
    note.replaceChildren(el("dl", {}, rows), ...(one.href ? [el("a", { href: one.href }, "Open the run")] : []));
    note.classList.toggle("pinned", pin);
    note.hidden = false;
    const [left, top] = place(at);
    const width = plot.clientWidth;
    plot.querySelector(".ring").setAttribute("d", "M-8,0a8,8 0 1,0 16,0a8,8 0 1,0 -16,0Z");
    plot.querySelector(".ring").setAttribute("transform", `translate(${left},${top})`);
    // Above or below the point, which it must not cover.
    note.style.left = `${Math.max(0, Math.min(left - note.offsetWidth / 2, width - note.offsetWidth))}px`;
    note.style.top = `${top > HEIGHT / 2 ? top - note.offsetHeight - 14 : top + 14}px`;
  };
  const nearest = (event) => {
    const box = plot.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    let [best, reach] = [null, REACH];
    series.forEach((one, s) =>
      one.points.forEach((_, p) => {
        const [x, y] = place([s, p]);
        const far = Math.hypot(x - left, y - top);
        if (far < reach) [best, reach] = [[s, p], far];
      }),
    );
    return best;
  };
  const step = (key) => {
    if (!series.length) return false;
    if (!at) {
      show([0, 0], true);
      return true;
    }
    let [s, p] = at;
    if (key === "ArrowRight" || key === "ArrowLeft") {
      p = Math.max(0, Math.min(series[s].points.length - 1, p + (key === "ArrowRight" ? 1 : -1)));
    } else {
      const x = series[s].points[p].x;
      s = (s + (key === "ArrowDown" ? 1 : series.length - 1)) % series.length;
      const far = series[s].points.map((one) => Math.abs(one.x - x));
      p = far.indexOf(Math.min(...far));
    }
    show([s, p], true);
    return true;
  };
  plot.addEventListener("pointermove", (event) => {
    if (!area || pinned || event.pointerType === "touch") return;
    const found = nearest(event);
    if (found) show(found, false);
    else hide();
  });
  plot.addEventListener("pointerleave", () => pinned || hide());
  plot.addEventListener("click", (event) => {
    const found = area && nearest(event);
    if (found) show(found, true);
    else hide();
  });
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    else if (event.key === "Enter") note.querySelector("a")?.click();
    else if (event.key.startsWith("Arrow") && area && step(event.key)) event.preventDefault();
  });
  plot.addEventListener("blur", (event) => note.contains(event.relatedTarget) || hide());
  return {
    moved: (now) => {
      area = now;
      hide();
    },
  };
}
