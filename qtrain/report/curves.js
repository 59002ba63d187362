// Curves: the forms of class "curves" decide what Plotly draws. Data come from the page's JSON blocks, colours from its
// style sheet; a name becomes text, never markup.
"use strict";

document.documentElement.dataset.scripts = "on"; // the style sheet shows what needs them

const readBlock = (id) => JSON.parse(document.getElementById(id).textContent);
const asText = (name) => name.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const darkMode = matchMedia("(prefers-color-scheme: dark)");
const ON_PAPER = { width: 330, height: 250 }; // CSS pixels of a chart: two side by side fit A4 and Letter
const SIZE = { autosize: true, height: 380 };
const PALE = 0.4; // opacity of single runs beside their mean
let printing = false;

class Curves {
  constructor(form) {
    this.form = form;
    this.name = form.dataset.section;
    this.about = readBlock(`${this.name}-curves`);
    this.series = new Map();
    this.charts = [...form.querySelectorAll("figure")].map((figure) => new Chart(this, figure));
    form.addEventListener("change", (event) => this.changed(event));
    form.addEventListener("click", (event) => this.pressed(event));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  get(measure) {
    if (!this.series.has(measure)) this.series.set(measure, readBlock(`${this.name}-m${measure}`));
    return this.series.get(measure);
  }

  checked(selector) {
    return [...this.form.querySelectorAll(selector)].map((box) => box.checked);
  }

  changed(event) {
    const chart = this.charts.find((one) => one.figure.contains(event.target));
    if (chart) chart.changed(event.target);
    else this.draw();
  }

  pressed(event) {
    if (!event.target.dataset.all) return;
    for (const box of this.form.querySelectorAll("[data-line], [data-run]")) box.checked = event.target.dataset.all === "1";
    this.draw();
  }

  draw() {
    return Promise.all(this.charts.map((chart) => chart.draw()));
  }

  // What is visible of a measure: [series, line, whether it is a mean, seed].
  visible(measure) {
    const { runs, means } = this.get(measure);
    const [showMeans, showRuns] = [this.form.elements.means.checked, this.form.elements.runs.checked];
    const [lineOn, runOn] = [this.checked("[data-line]"), this.checked("[data-run]")];
    const found = [];
    let run = 0;
    this.about.lines.forEach((line, index) => {
      for (const seed of line.seeds) {
        if (showRuns && lineOn[index] && (runOn[run] ?? true)) found.push([runs[run], line, false, seed, run]);
        run += 1;
      }
    });
    if (showMeans) means.forEach((mean, index) => lineOn[index] && found.push([mean, this.about.lines[index], true]));
    return found;
  }
}

class Chart {
  constructor(curves, figure) {
    [this.curves, this.figure] = [curves, figure];
    [this.select, this.logX, this.logY] = figure.querySelectorAll("select, input");
    this.plot = figure.querySelector(".chart");
    this.output = figure.querySelector("output");
    this.cursor = null;
    this.plot.addEventListener("keydown", (event) => this.key(event));
    this.logY.checked = this.measure.log;
  }

  get measure() {
    return this.curves.about.measures[this.select.value];
  }

  changed(target) {
    if (target === this.select) this.logY.checked = this.measure.log;
    this.cursor = null;
    this.output.value = "";
    this.draw();
  }

  draw() {
    const style = getComputedStyle(document.documentElement);
    const [ink, paper, rule, quiet, bad] = ["--ink", "--paper", "--line", "--quiet", "--bad"].map((name) => style.getPropertyValue(name));
    const visible = this.curves.visible(this.select.value);
    const anyMean = visible.some(([, , mean]) => mean);
    this.read = visible.filter(([, , mean]) => mean || !anyMean);
    const traces = visible.map((one) => this.trace(one, anyMean));
    traces.push(this.ends(visible, bad));
    const axis = { gridcolor: rule, linecolor: quiet, tickcolor: quiet, ticks: "outside", zeroline: false };
    const level = this.measure.level;
    const layout = {
      ...(printing ? ON_PAPER : SIZE),
      margin: { l: 64, r: 14, t: 12, b: 46 },
      paper_bgcolor: paper,
      plot_bgcolor: paper,
      font: { family: "system-ui, sans-serif", size: 12, color: ink },
      xaxis: { ...axis, ...this.scale(this.logX, "x", visible), title: { text: "training step" }, unifiedhovertitle: { text: "step %{x}" } },
      yaxis: { ...axis, ...this.scale(this.logY, "y", visible), title: { text: asText(this.measure.label) }, rangemode: "tozero" },
      hovermode: "x unified",
      hoverlabel: { bgcolor: paper, bordercolor: quiet, font: { color: ink, size: 12 } },
      showlegend: false,
      uirevision: [this.select.value, this.logX.checked, this.logY.checked].join(),
      shapes: level === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level, line: { color: quiet, width: 1, dash: "dot" }, label: { text: this.measure.levelName, textposition: "start", yanchor: "top", font: { color: quiet, size: 11 } } }],
    };
    const settings = { displaylogo: false, showSendToCloud: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"], toImageButtonOptions: { format: "svg" } };
    return Plotly.react(this.plot, traces, layout, settings);
  }

  // Of an axis: over many decades a mark each, or each so many.
  scale(log, axis, visible) {
    if (!log.checked) return { type: "linear" };
    let [low, high] = [Infinity, 0];
    for (const [points] of visible) {
      for (const value of points[axis]) {
        if (value <= 0) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    const decades = Math.log10(high / low);
    return { type: "log", exponentformat: "power", dtick: decades > 2 ? Math.ceil(decades / 10) : "D2" };
  }

  trace([points, line, mean, seed], anyMean) {
    const few = points.x.length <= 25;
    return {
      type: "scatter",
      mode: few && (mean || !anyMean) ? "lines+markers" : "lines",
      x: points.x,
      y: points.y,
      name: asText(mean || line.seeds.length === 1 ? line.name : `${line.name}, seed ${seed}`),
      line: { color: darkMode.matches && !printing ? line.dark : line.light, dash: line.dash, width: mean ? 2 : 1 },
      marker: { symbol: line.symbol, size: 6 },
      opacity: anyMean && !mean ? PALE : 1,
      hoverinfo: anyMean && !mean ? "skip" : undefined,
      hovertemplate: anyMean && !mean ? undefined : "%{y:.4g}<extra>%{fullData.name}</extra>",
    };
  }

  // A cross at the last point of each run that diverged.
  ends(visible, color) {
    const last = visible.filter(([points, , mean, , run]) => !mean && points.x.length && this.curves.about.diverged[run] !== null);
    return {
      type: "scatter",
      mode: "markers",
      x: last.map(([points]) => points.x.at(-1)),
      y: last.map(([points]) => points.y.at(-1)),
      name: "diverged",
      marker: { symbol: "x", size: 9, color },
      hoverinfo: "skip",
    };
  }

  // Arrow keys move along the steps and say the values there.
  key(event) {
    if (event.target !== this.plot) return;
    const steps = [...new Set(this.read.flatMap(([points]) => points.x))].sort((a, b) => a - b);
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity };
    if (!(event.key in moves) || !steps.length) return;
    event.preventDefault();
    const from = this.cursor ?? (moves[event.key] > 0 ? -1 : steps.length);
    this.cursor = Math.min(steps.length - 1, Math.max(0, from + moves[event.key]));
    const step = steps[this.cursor];
    const words = this.read.flatMap(([points, line, mean, seed]) => {
      const at = points.x.indexOf(step);
      const name = mean || line.seeds.length === 1 ? line.name : `${line.name}, seed ${seed}`;
      return at < 0 ? [] : [`${name}: ${points.y[at].toPrecision(3)}`];
    });
    this.output.value = `Step ${step}. ${words.join("; ")}`;
    const first = this.plot.data.length - 1 - this.read.length;
    const shown = this.read.map(([points], index) => ({ curveNumber: first + index, pointNumber: points.x.indexOf(step) }));
    Plotly.Fx.hover(this.plot, shown.filter((one) => one.pointNumber >= 0));
  }
}

const allCurves = [...document.querySelectorAll("form.curves")].map((form) => new Curves(form));
const drawAll = () => Promise.all(allCurves.map((curves) => curves.draw()));
darkMode.addEventListener("change", drawAll);
for (const [event, value] of [["beforeprint", true], ["afterprint", false]]) {
  addEventListener(event, () => {
    printing = value;
    document.documentElement.toggleAttribute("data-printing", value);
    drawAll();
  });
}
drawAll().then(() => requestAnimationFrame(() => setTimeout(() => {
  document.documentElement.dataset.drawn = Math.round(performance.now()); // for the tests: milliseconds since navigation
})));
