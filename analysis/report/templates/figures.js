// Draws the figures of the page; the tables of all of them stand in thermoTables, by columns.
const thermoViews = [];
function thermoRows(table) {
  const names = Object.keys(table);
  const columns = names.map((name) => {
    const column = table[name];
    // Few different values: a list of these, and the place of each row's in it. A value is never a list.
    return Array.isArray(column[0]) ? column[1].map((place) => column[0][place]) : column;
  });
  const rows = columns.length ? columns[0].length : 0;
  return Array.from({ length: rows }, (_, i) => Object.fromEntries(names.map((name, j) => [name, columns[j][i]])));
}
function thermoFigure({ name, tables, spec }) {
  spec.datasets = Object.fromEntries(tables.map((table) => [table, thermoRows(thermoTables[table])]));
  const place = document.getElementById("figure-" + name);
  // Apart from the page: what goes wrong with one figure leaves its picture, and the others.
  const drawn = document.createElement("div");
  drawn.className = place.className;
  place.before(drawn);
  const font = getComputedStyle(document.body).fontFamily;
  vegaEmbed(drawn, spec, { actions: false, renderer: "svg", config: { font: font } }).then(
    (found) => { place.remove(); drawn.id = place.id; thermoViews.push(found.view); },
    (error) => { drawn.remove(); console.error(name, error); },
  );
}
for (const one of document.querySelectorAll("script.thermo-figure")) thermoFigure(JSON.parse(one.textContent));
// On paper a figure has half of the width, and letters that are scaled down to it could not be read.
addEventListener("beforeprint", () => thermoViews.forEach((view) => view.width(330).run()));
addEventListener("afterprint", () => dispatchEvent(new Event("resize")));
