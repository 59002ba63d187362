// The sample browser: the forms of class "samples" choose from the page's JSON blocks; texts are shown as text.
"use strict";

const PROMPTS_AT_ONCE = 20;

class Samples {
  constructor(form) {
    this.form = form;
    this.data = JSON.parse(document.getElementById(`${form.dataset.section}-samples`).textContent);
    for (const sample of this.data.samples) {
      sample.searched = [sample.prompt, sample.gold, sample.rationale, sample.answer].join("\n").toLowerCase();
    }
    this.list = form.querySelector(".found");
    this.count = form.querySelector("output");
    this.more = form.querySelector("button");
    form.addEventListener("input", () => this.show());
    form.addEventListener("submit", (event) => event.preventDefault());
    this.more.addEventListener("click", () => this.extend());
    this.show();
  }

  show() {
    const { run, when, success, search } = this.form.elements;
    const words = search.value.toLowerCase();
    const found = this.data.samples.filter(
      (sample) =>
        (run.value === "" || sample.run === Number(run.value)) &&
        (when.value === "" || sample.when === when.value) &&
        (success.value === "" || Boolean(sample.success) === (success.value === "right")) &&
        sample.searched.includes(words),
    );
    const pools = new Map();
    for (const sample of found) {
      const key = JSON.stringify([sample.run, sample.step, sample.prompt, sample.gold]);
      if (!pools.has(key)) pools.set(key, []);
      pools.get(key).push(sample);
    }
    this.pools = [...pools.values()];
    const right = found.filter((sample) => sample.success).length;
    this.count.value = `${found.length} of ${this.data.samples.length} samples, ${right} right`;
    this.list.replaceChildren();
    this.extend();
  }

  extend() {
    const shown = this.list.childElementCount;
    const next = this.pools.slice(shown, shown + PROMPTS_AT_ONCE);
    this.list.append(...next.map((pool) => this.card(pool)));
    const left = this.pools.length - shown - next.length;
    this.more.hidden = left === 0;
    this.more.textContent = `Show ${Math.min(left, PROMPTS_AT_ONCE)} more prompts of ${left}`;
  }

  card(pool) {
    const [first] = pool;
    const words = { before: "before training", best: "best evaluation", last: "last evaluation" }[first.when];
    const table = element("table", "pool", [
      element("thead", "", [element("tr", "", this.columns(pool).map(([name]) => scoped("col", name)))]),
      element("tbody", "", pool.map((sample) => element("tr", "", this.columns(pool).map(([, cell]) => cell(sample))))),
    ]);
    return element("li", "", [
      element("p", "quiet", [`${this.data.runs[first.run]} · step ${first.step}, ${words}${first.group ? ` · ${first.group} prompt` : ""}`]),
      element("p", "", [element("span", "quiet", ["prompt "]), said("span", first.prompt)]),
      element("p", "", [element("span", "quiet", ["gold "]), said("span", first.gold)]),
      element("div", "scroll", [table]),
    ]);
  }

  // Heading and cell of each column.
  columns(pool) {
    const number = (key) => (sample) => element("td", "", [sample[key] ?? "–"]);
    const logged = (key) => pool.some((sample) => key in sample);
    return [
      ["rationale", (sample) => element("td", "said", [said("bdi", sample.rationale), ...(sample.forced ? [element("span", "quiet", [" (end forced)"])] : [])])],
      ["answer", (sample) => element("td", "said", [said("bdi", sample.answer)])],
      ["log w", number("log_w")],
      ...(logged("rationale_coefficient") ? [["coefficient of the rationale", number("rationale_coefficient")]] : []),
      ...(logged("answer_coefficient") ? [["coefficient of the answer", number("answer_coefficient")]] : []),
      ["", (sample) => element("td", sample.success ? "right" : "", [sample.success ? "✓ right" : "wrong"])],
    ];
  }
}

function element(tag, name, children) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  made.append(...children); // strings become text nodes
  return made;
}

function said(tag, text) {
  return element(tag, "said", [text]);
}

function scoped(scope, name) {
  const made = element("th", "", [name || "result"]);
  made.scope = scope;
  return made;
}

for (const form of document.querySelectorAll("form.samples")) new Samples(form);
