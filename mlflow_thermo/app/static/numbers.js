// Numbers in words, and where they lie on an axis.

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/**
 * A number with `digits` significant digits, as people write it: 0.0354, 2.8×10⁻⁴. Below `smallest` with a power;
 * with `zeros` all its digits stay, as in a column of measured values.
 */
export function shown(value, digits = 3, smallest = 1e-3, zeros = false) {
  if (!isNumber(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= smallest && size < 1e5)
    return minus(zeros ? value.toPrecision(digits) : String(Number(value.toPrecision(digits))));
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = [...String(Number(exponent))].map((sign) => SUPERSCRIPT[sign]).join("");
  const front = zeros ? mantissa : String(Number(mantissa));
  return minus(front === "1" ? `10${power}` : `${front}×10${power}`);
}

/** A value with its standard error, both to the error's second digit: 0.908 ± 0.012. */
export function withError(value, error) {
  if (!isNumber(error) || error <= 0) return shown(value, 4);
  const places = 1 - Math.floor(Math.log10(error));
  const size = Math.abs(value);
  if (places < 0 || places > 7 || size >= 1e6) return `${shown(value, 4)} ± ${shown(error, 2)}`;
  return minus(`${value.toFixed(places)} ± ${error.toFixed(places)}`);
}

/** Both ends of an interval, with as many digits as tell them apart: −249.4 to −248.7. */
export function between(low, high) {
  const digits = 1 + Math.ceil(Math.log10(Math.max(Math.abs(low), Math.abs(high)) / (high - low)));
  const most = Math.max(3, Math.min(Number.isFinite(digits) ? digits : 3, 9));
  return `${shown(low, most, 1e-3, true)} to ${shown(high, most, 1e-3, true)}`;
}

const minus = (text) => text.replace(/^-/, "−");

/** Seconds as people say them. */
export function spell(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** An axis over `values` from `start` to `end` pixels: `at(value)`, and `ticks` of value, text and weight. */
export function axis(values, { log = false, zero = false, start, end, pad = 14, room = 60 }) {
  const usable = values.filter((value) => isNumber(value) && (!log || value > 0));
  const inner = log ? Math.log : (value) => value;
  let low = Math.min(...usable.map(inner));
  let high = Math.max(...usable.map(inner));
  if (zero) low = Math.min(low, 0);
  if (low === high) {
    const half = log ? 0.5 : (Math.abs(low) || 1) / 2;
    [low, high] = [low - half, high + half];
  }
  const sign = Math.sign(end - start);
  const scale = (end - start - 2 * sign * pad) / (high - low);
  const at = (value) => start + sign * pad + (inner(value) - low) * scale;
  const margin = Math.abs(pad / scale);
  const outer = log ? [Math.exp(low - margin), Math.exp(high + margin)] : [low - margin, high + margin];
  const most = Math.max(2, Math.floor(Math.abs(end - start) / room));
  return { at, log, range: outer, ticks: log ? logTicks(...outer, most) : linearTicks(...outer, most) };
}

/** Round numbers between two others, `most` at most. */
export function linearTicks(low, high, most) {
  const rough = (high - low) / most;
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((one) => one * decade).find((one) => one >= rough * 0.999);
  const found = [];
  for (let i = Math.ceil(low / step); i <= Math.floor(high / step); i += 1) {
    const value = Number((i * step).toPrecision(12));
    found.push({ value, text: shown(value, 6), major: true });
  }
  return found;
}

/** Ticks of a logarithmic axis: labels at decades, at 1, 2 and 5 or wherever as many fit; lines at the rest. */
export function logTicks(low, high, most) {
  const decades = Math.log10(high / low);
  if (decades < 0.35) return linearTicks(low, high, Math.min(most, 4)).filter((tick) => tick.value > 0);
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const inside = (value) => value >= low && value <= high;
  const every = [[1, 2, 3, 4, 6, 8], [1, 2, 5], [1, 3], [1]].find((set) => set.length * decades <= most) ?? [1];
  const stride = every.length === 1 ? Math.max(1, Math.ceil(decades / most)) : 1;
  const found = [];
  // One way of writing on one axis.
  const smallest = low < 1e-3 ? 1 : 1e-3;
  for (let power = first; power <= last; power += 1) {
    for (let front = 1; front < 10; front += 1) {
      const value = Number(`${front}e${power}`);
      if (!inside(value) || (front > 1 && decades > 8)) continue;
      const labelled = every.includes(front) && (((power - first) % stride) + stride) % stride === 0;
      found.push({ value, text: labelled ? shown(value, 2, smallest) : "", major: front === 1 });
    }
  }
  return found;
}
