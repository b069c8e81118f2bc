"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";

// Elements. An attribute that is undefined is left out; children are nodes or text.
function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) node.setAttribute(name, value);
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}
const el = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// Numbers for people.
const whole = (value) => Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
const percent = (share, digits = 2) => (100 * share).toFixed(digits) + "\u202f%";
const sized = (value) => [[1e9, "\u202fG"], [1e6, "\u202fM"], [1e3, "\u202fk"]].find(([size]) => value >= size) ?? [1, ""];
function short(value) {
  const [size, letter] = sized(value);
  return (value / size).toPrecision(3) + letter;
}
// On an axis: as many decimals as tell values a step apart.
const decimals = (step) => Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
function tick(value, step) {
  const [size, letter] = sized(value);
  return (value / size).toFixed(decimals(step / size)) + letter;
}
const percentTick = (share, step) => share > 1 + 1e-9 ? "" : percent(share, decimals(100 * step));
// With two standard deviations on both sides, where the predictor says them.
const predicted = ({ accuracy, deviation }) => deviation ? `${(100 * accuracy).toFixed(2)} ± ${percent(2 * deviation)}` : percent(accuracy);
// A number of a file on the page, findable: data-figure names it, data-value is the file's own.
const figure = (name, value, text) => el("span", { "data-figure": name, "data-value": value }, text);

const sections = [];
function section(id, title, about, ...content) {
  sections.push([id, title]);
  document.getElementById("main").append(
    el("section", { id, "aria-labelledby": id + "-title" }, el("h2", { id: id + "-title" }, title),
      el("p", { class: "quiet" }, about), content));
}
const missing = (id, title, command) => section(id, title, "There is no file for this part; " + command + " makes it.");

function table(caption, head, rows, numbers = []) {
  const cell = (tag, i, content, scope) => el(tag, { class: numbers.includes(i) ? "number" : undefined, scope }, content);
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", {}, el("caption", {}, caption),
      el("thead", {}, el("tr", {}, head.map((text, i) => cell("th", i, text, "col")))),
      el("tbody", {}, rows.map((row) => el("tr", {}, row.map((content, i) =>
        i === 0 ? cell("th", i, content, "row") : cell("td", i, content)))))));
}

// Bars as a table: a row is its name, its length and its text.
function bars(caption, rows, most = Math.max(...rows.map((row) => row.value), 1e-9)) {
  const row = ({ name, value, text, key }) => el("tr", {}, el("th", { scope: "row" }, name),
    el("td", { class: "bar", "aria-hidden": "true" }, el("span", { style: `width:${(100 * Math.max(value, 0)) / most}%` })),
    el("td", { class: "number" }, key ? figure(key, value, text) : text));
  return el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    el("table", { class: "bars" }, el("caption", {}, caption), el("tbody", {}, rows.map(row))));
}

// The roundest values of a range, `least` of them or more, and the step between them.
function niceTicks(low, high, least = 3) {
  const power = 10 ** Math.floor(Math.log10(high - low));
  const within = (step) => [Math.ceil(low / step - 1e-9), Math.floor(high / step + 1e-9)];
  const step = [5, 2, 1, .5, .2, .1].map((factor) => factor * power).find((step) => {
    const [first, last] = within(step);
    return last - first + 1 >= least;
  });
  const [first, last] = within(step);
  return { step, ticks: Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step) };
}

// A unit of a drawing is a pixel where the page is narrow, so that text keeps its size; what is around a drawing takes 66.
const phone = window.innerWidth < 600;
const widest = (units) => Math.min(units, window.innerWidth - 66);
const widened = ([low, high]) => low < high ? [low, high] : [low - (Math.abs(low) / 20 || 1), high + (Math.abs(high) / 20 || 1)];

// A frame with axes; returns the drawing and the two scales. The texts of ticks are made of a value and the step between two.
function frame({ label, width = widest(760), height = phone ? 300 : 380, xText, yText, xName, yName, ...ranges }) {
  const [left, right, top, bottom] = [74, 32, 14, 44];
  const [x, y] = [widened(ranges.x), widened(ranges.y)];
  const across = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (width - left - right);
  const down = (value) => height - bottom - ((value - y[0]) / (y[1] - y[0])) * (height - top - bottom);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  const ups = niceTicks(...y), acrosses = niceTicks(...x, phone ? 2 : 3);
  for (const value of ups.ticks) {
    drawing.append(svg("line", { class: "grid", x1: left, x2: width - right, y1: down(value), y2: down(value) }),
      svg("text", { x: left - 6, y: down(value) + 4, "text-anchor": "end" }, yText(value, ups.step)));
  }
  for (const value of acrosses.ticks) {
    drawing.append(svg("text", { x: across(value), y: height - bottom + 16, "text-anchor": "middle" }, xText(value, acrosses.step)));
  }
  drawing.append(svg("line", { class: "axis", x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
    svg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, xName),
    svg("text", { x: 14, y: (top + height - bottom) / 2, "text-anchor": "middle",
      transform: `rotate(-90 14 ${(top + height - bottom) / 2})` }, yName));
  return { drawing, across, down, x, width, top, bottom: height - bottom };
}
const key = (colour, text) => [el("span", { class: "key", style: `background:var(--${colour})` }), text];
const path = (points, colour, dash) => svg("path", { d: points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join(""),
  fill: "none", stroke: `var(--${colour})`, "stroke-width": 1.8, "stroke-dasharray": dash });

const archText = (arch) => `${arch.resolution}×${arch.resolution}: ` +
  arch.stages.map((stage) => stage.map((block) => `${block.kernel}×${block.kernel} ·${block.expand}`).join(", ")).join(" | ");
const unit = page.front?.unit ?? page.choice?.latency?.unit ?? page.summary?.latency.unit ?? "ticks";

function head() {
  const { summary, choice } = page;
  const name = summary ? `space ${summary.space}, board ${summary.device.board}, seed ${summary.seed}` : "one net and what it costs";
  const tiles = [];
  const tile = (name, content, note) => tiles.push(el("div", {}, el("dt", {}, name), el("dd", {}, content, note ? el("small", {}, note) : null)));
  if (summary) {
    const { accuracy, device, latency, sram_bytes: sram, flash_bytes: flash } = summary;
    tile("accuracy, int8, all test images", figure("accuracy.int8_host", accuracy.int8_host, percent(accuracy.int8_host)),
      ["in float ", figure("accuracy.float", accuracy.float, percent(accuracy.float))]);
    tile(`${latency.unit} of one image, measured`, figure("latency.measured", latency.measured, short(latency.measured)),
      latency.limit === null ? undefined : `the limit was ${short(latency.limit)}`);
    tile("bytes of SRAM, linked", figure("sram_bytes.linked", sram.linked, whole(sram.linked)), "the stack left out");
    tile("bytes of flash, linked", figure("flash_bytes.linked", flash.linked, whole(flash.linked)), "net and code");
    tile("scores equal to the host's", device.logits_equal_host ? "all" : "NOT all",
      [figure("device.images", device.images, whole(device.images)), " images"]);
  } else if (choice) {
    const { measured, accuracy_interval: interval } = choice;
    const end = (i) => figure(`choice.accuracy_interval.${i}`, interval[i], percent(interval[i]));
    tile("accuracy, predicted", figure("choice.accuracy", choice.accuracy, percent(choice.accuracy)),
      interval && [end(0), " to ", end(1), " of all such images"]);
    if (measured) {
      tile("accuracy, measured", figure("choice.measured.accuracy", measured.accuracy, percent(measured.accuracy)),
        `on ${whole(measured.images)} validation images`);
    }
    tile("MACs", figure("choice.macs", choice.macs, short(choice.macs)));
    if (choice.latency) {
      const { predicted, interval, limit } = choice.latency;
      const notes = [interval && interval.map(short).join(" to "), Number.isFinite(limit) && `the limit was ${short(limit)}`];
      tile(`${choice.latency.unit} of one image, predicted`, figure("choice.latency", predicted, short(predicted)), notes.filter(Boolean).join("; "));
    }
    tile("bytes of SRAM", figure("choice.sram_bytes", choice.sram_bytes, whole(choice.sram_bytes)));
    tile("bytes of flash", figure("choice.flash_bytes", choice.flash_bytes, whole(choice.flash_bytes)));
  }
  document.title = `ofa report: ${name}`;
  document.getElementById("head").append(el("h1", {}, "From one supernet to one board"), el("p", { class: "quiet" }, name),
    el("dl", { class: "tiles" }, tiles));
}

function way() {
  const seconds = page.summary?.seconds ?? {};
  const rows = page.files.map((file) => [file.step, el("code", {}, file.name), whole(file.bytes), el("code", { title: file.sha256 }, file.sha256.slice(0, phone ? 8 : 16))]);
  const times = Object.entries(seconds).map(([name, value]) => ({ name, value, text: value.toFixed(1) + "\u202fs", key: "seconds." + name }));
  section("path", "The path", "Every step is a file; the hash tells whether two runs made the same.",
    times.length ? bars("Seconds of each step", times) : null,
    table("Files, with the beginning of their SHA\u2011256", ["step", "file", "bytes", "SHA-256"], rows, [2]));
}

function beside() {
  const { summary } = page;
  if (!summary) return missing("beside", "Predicted beside measured", "ofa demo");
  const { accuracy, latency, sram_bytes: sram, flash_bytes: flash } = summary;
  const off = (predicted, measured) => predicted === null ? "" : `${predicted >= measured ? "+" : "−"}${Math.abs(100 * (predicted / measured - 1)).toFixed(2)}\u202f%`;
  const row = (name, key, predicted, measured) => [name, predicted === null ? "" : figure(key + ".predicted", predicted, whole(predicted)), whole(measured), off(predicted, measured)];
  section("beside", "Predicted beside measured", "What the search believed, and what came of it on the board.",
    table("The chosen net", ["", "predicted", "measured", "off by"], [
      ["accuracy, all test images", figure("accuracy.predicted", accuracy.predicted, percent(accuracy.predicted)), percent(accuracy.float),
        `${(100 * (accuracy.predicted - accuracy.float)).toFixed(2)} points`],
      ["accuracy in int8, on the board's images", "", figure("accuracy.int8_device", accuracy.int8_device, percent(accuracy.int8_device)), ""],
      row(latency.unit + " of one image", "latency", latency.predicted, latency.measured),
      row("bytes of SRAM", "sram_bytes", sram.predicted, sram.linked),
      row("bytes of flash", "flash_bytes", flash.predicted, flash.linked),
    ], [1, 2, 3]));
}

function pareto() {
  if (!page.front?.nets.length) return missing("front", "The front", "ofa search");
  const { nets } = page.front;
  const quantities = { latency: unit, sram_bytes: "bytes of SRAM", flash_bytes: "bytes of flash", macs: "MACs" };
  const usable = Object.keys(quantities).filter((name) => nets[0][name] !== null && nets[0][name] !== undefined);
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);
  const chosen = page.choice ? nets.findIndex((net) => same(net.arch, page.choice.arch)) : -1;
  const limits = { latency: page.choice?.latency?.limit ?? page.summary?.latency.limit };
  const told = el("p", { class: "told", role: "status" }, "Point at a net to read it, or go from net to net with the arrow keys; click or tap it, or press Enter, to pin it. Two pinned nets stand side by side.");
  const place = el("div");
  const beside = el("div", { class: "pins" });
  const pinned = [];
  // The intervals of many nets would hide the nets; those are told as text.
  const lined = nets.length <= 60 && nets.some((net) => net.deviation);
  // The one net that Tab reaches; arrows go from net to net.
  let at = Math.max(chosen, 0);
  const tell = (i) => { told.textContent = `${predicted(nets[i])} predicted, ${usable.map((name) => `${short(nets[i][name])} ${quantities[name]}`).join(", ")}. ${archText(nets[i].arch)}`; };
  const facts = (i) => el("div", {}, el("h3", {}, i === chosen ? "The chosen net" : `Net ${i + 1} of the front`),
    table(`Net ${i + 1}`, ["", ""], [["accuracy, predicted", predicted(nets[i])],
      ...usable.map((name) => [quantities[name], whole(nets[i][name])])], [1]), el("p", {}, archText(nets[i].arch)),
    el("button", { type: "button" }, "Unpin"));
  function pin(i) {
    const at = pinned.indexOf(i);
    if (at >= 0) pinned.splice(at, 1);
    else pinned.push(i);
    if (pinned.length > 2) pinned.shift();
    for (const point of place.querySelectorAll(".point")) {
      const is = pinned.includes(Number(point.dataset.net));
      point.classList.toggle("pinned", is);
      point.setAttribute("aria-pressed", is);
    }
    beside.replaceChildren(...pinned.map((i) => {
      const box = facts(i);
      box.querySelector("button").addEventListener("click", () => {
        pin(i);
        const next = beside.querySelector("button");
        if (next) next.focus();
        else go(i);
      });
      return box;
    }));
  }
  function go(i) {
    const point = (net) => place.querySelector(`[data-net="${net}"]`);
    point(at).setAttribute("tabindex", -1);
    at = i;
    point(at).setAttribute("tabindex", 0);
    point(at).focus();
  }
  function draw(name) {
    const text = quantities[name];
    const costs = nets.map((net) => net[name]);
    const limit = limits[name] ?? NaN, least = Math.min(...costs), most = Math.max(...costs);
    // A limit far from all nets would press them together.
    const near = Math.abs(2 * limit - least - most) <= 1.5 * (most - least);
    const ends = nets.map(({ accuracy, deviation = 0 }) => !lined ? [accuracy, accuracy] : [Math.max(accuracy - 2 * deviation, 0), Math.min(accuracy + 2 * deviation, 1)]);
    const pad = (low, high) => [low - 0.04 * (high - low), high + 0.04 * (high - low)];
    const f = frame({ label: `${nets.length} nets: predicted accuracy over ${text}`, x: near ? pad(Math.min(least, limit), Math.max(most, limit)) : pad(least, most),
      y: pad(Math.min(...ends.flat()), Math.max(...ends.flat())), xText: tick, yText: percentTick, xName: text, yName: "predicted accuracy" });
    let note = "";
    if (limit < f.x[0] || limit > f.x[1]) {
      note = `The limit, ${short(limit)}, lies to the ${limit < f.x[0] ? "left" : "right"}.`;
    } else if (Number.isFinite(limit)) {
      const x = f.across(limit), first = x < f.width / 2;
      f.drawing.append(svg("line", { class: "limit", x1: x, x2: x, y1: f.top, y2: f.bottom }),
        svg("text", { class: "limit-text", x: x + (first ? 5 : -5), y: f.bottom - 6, "text-anchor": first ? "start" : "end" }, "limit"));
    }
    const spots = nets.map((net) => [f.across(net[name]), f.down(net.accuracy)]);
    f.drawing.append(svg("path", { class: "interval", d: ends.map(([low, high], i) => low < high ? `M${spots[i][0].toFixed(1)} ${f.down(low).toFixed(1)}V${f.down(high).toFixed(1)}` : "").join("") }));
    // Dots are small and many: the nearest one that a finger may mean, if any.
    const nearest = ({ clientX, clientY }) => {
      const box = f.drawing.getBoundingClientRect(), pixels = box.width / f.width;
      const far = spots.map(([x, y]) => Math.hypot(box.left + x * pixels - clientX, box.top + y * pixels - clientY));
      const i = far.indexOf(Math.min(...far));
      return far[i] <= 24 ? i : undefined;
    };
    f.drawing.addEventListener("pointermove", (event) => {
      const i = nearest(event);
      place.querySelector(".near")?.classList.remove("near");
      if (i === undefined) return;
      place.querySelector(`[data-net="${i}"]`).classList.add("near");
      tell(i);
    });
    f.drawing.addEventListener("click", (event) => {
      // A screen reader's click may have no place.
      const i = nearest(event) ?? event.target.dataset.net;
      if (i === undefined) return;
      go(Number(i));
      pin(Number(i));
    });
    nets.forEach((net, i) => {
      const outside = limits.latency && net.latency > limits.latency;
      const point = svg("circle", { class: "point" + (outside ? " outside" : "") + (pinned.includes(i) ? " pinned" : ""), cx: spots[i][0].toFixed(1),
        cy: spots[i][1].toFixed(1), r: nets.length > 200 ? 3 : 4.5, tabindex: i === at ? 0 : -1, role: "button", "aria-pressed": pinned.includes(i), "data-net": i,
        "aria-label": `net ${i + 1}: ${predicted(net)}, ${short(net[name])} ${text}` });
      point.addEventListener("focus", () => tell(i));
      point.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); pin(i); }
        const step = { ArrowRight: -1, ArrowLeft: 1 }[event.key];
        if (step) {
          event.preventDefault();
          go((i + step + nets.length) % nets.length);
        }
      });
      f.drawing.append(point);
    });
    if (chosen >= 0) f.drawing.append(svg("circle", { class: "chosen-mark", cx: spots[chosen][0], cy: spots[chosen][1], r: 9 }));
    place.replaceChildren(f.drawing, el("p", { class: "quiet" }, note));
  }
  const radio = (name, i) => {
    const input = el("input", { type: "radio", name: "cost", value: name, checked: i === 0 ? "" : undefined });
    input.addEventListener("change", () => draw(name));
    return el("label", {}, input, " ", quantities[name]);
  };
  draw(usable[0]);
  section("front", "The front", `${nets.length === 1 ? "One net" : nets.length + " nets"} that no other one beats in accuracy, latency, SRAM and flash together.` +
    (chosen >= 0 ? " A ring marks the chosen net." : "") + (lined ? " A net's line is two standard deviations of its prediction on both sides." : "") +
    (nets.some((net) => limits.latency && net.latency > limits.latency) ? " Grey nets are above the limit of latency." : ""),
    el("fieldset", {}, el("legend", {}, "Cost"), usable.map(radio)), place, told, beside);
  if (chosen >= 0) pin(chosen);
}

function drawnNet() {
  if (!page.net) return missing("net", "The net", "ofa compile");
  const { report, regions, arena_bytes: arena } = page.net;
  const item = (layer) => {
    const words = layer.layer.split(" ");
    const kind = words[0];
    const stride = words.find((word) => /^s\d$/.test(word));
    const kernel = words.find((word) => /^k\d+$/.test(word))?.slice(1);
    const expanded = words.find((word) => /^e\d+$/.test(word))?.slice(1);
    const name = kind === "block" ? `${kernel}×${kernel}, ${expanded} expanded` : kernel ? `conv ${kernel}×${kernel}` : kind;
    const about = [layer.layer.match(/\S+ -> \S+/)?.[0].replace("->", "→"), words.includes("residual") ? "residual" : null, stride && stride !== "s1" ? "stride " + stride.slice(1) : null];
    return el("li", { class: stride && stride !== "s1" ? "down" : kind === "block" ? undefined : "other" }, name, el("small", {}, about.filter(Boolean).join(", ")));
  };
  section("net", "The net", `${short(report.macs)} MACs, ${whole(report.parameters)} parameters. From the image to the scores:`,
    el("ol", { class: "net" }, report.layers.map(item)));

  const layers = report.layers;
  if (layers.every((layer) => layer.ticks !== undefined && layer.ticks !== null)) {
    const all = layers.reduce((sum, layer) => sum + layer.ticks, 0);
    section("latency", "Where its latency goes", `${whole(all)} ${report.latency?.unit ?? unit} by the latency table.`,
      bars("By layer", layers.map((layer, i) => ({ name: layer.layer, value: layer.ticks, text: `${short(layer.ticks)} (${percent(layer.ticks / all, 0)})`, key: `ticks.${i}` }))));
  }

  const width = widest(760), height = 300, left = 62, bottom = 40;
  const column = (width - left - 8) / regions.length;
  const down = (bytes) => (height - bottom) * (1 - bytes / arena) + 8;
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height + 8}`, role: "img", "aria-label": `The arena of ${whole(arena)} bytes over the layers; the table below has the numbers.` });
  const { step, ticks } = niceTicks(0, arena);
  for (const bytes of ticks) {
    drawing.append(svg("line", { class: "grid", x1: left, x2: width - 8, y1: down(bytes), y2: down(bytes) }), svg("text", { x: left - 6, y: down(bytes) + 4, "text-anchor": "end" }, tick(bytes, step)));
  }
  regions.forEach((region, i) => {
    const x = left + i * column;
    for (const [part, colour] of [["input", "first"], ["output", "third"], ["scratch", "second"]]) {
      const { start, end } = region[part];
      if (end > start) drawing.append(svg("rect", { x: x + 1, width: column - 2, y: down(end), height: down(start) - down(end), fill: `var(--${colour})`, "fill-opacity": .6 },
        svg("title", {}, `${layers[i].layer}: ${part}, bytes ${whole(start)} to ${whole(end)}`)));
    }
    if (column > 18 || i % 2 === 0) drawing.append(svg("text", { x: x + column / 2, y: height - bottom + 24, "text-anchor": "middle" }, String(i + 1)));
  });
  drawing.append(svg("text", { x: (left + width) / 2, y: height + 2, "text-anchor": "middle" }, "layer"));
  const bytes = ({ start, end }) => whole(end - start);
  const joined = regions.length > 1 && JSON.stringify(regions[0]) === JSON.stringify(regions[1]);
  section("sram", "SRAM over time", ["The arena as the planner lays it out, ", figure("arena_bytes", arena, whole(arena)), " bytes. Where output covers input, it is written over rows that are no longer needed.",
    joined ? " The first two layers run as one: their picture is the same, and the map between them is never whole." : ""],
    el("p", {}, key("first", "input"), key("third", "output"), key("second", "memory to work in")), el("div", { class: "scroll" }, drawing),
    el("details", {}, el("summary", {}, "As a table"), table("Bytes of each layer", ["layer", "input", "output", "to work in"],
      layers.map((layer, i) => [layer.layer, bytes(regions[i].input), bytes(regions[i].output), bytes(regions[i].scratch)]), [1, 2, 3])));
  section("flash", "Flash", [figure("flash_bytes.net", report.flash_bytes, whole(report.flash_bytes)), " bytes of taps, channels and steps; the code comes to it."],
    bars("By layer", layers.map((layer) => ({ name: layer.layer, value: layer.flash_bytes, text: whole(layer.flash_bytes) }))));
  section("error", "Error of int8", `Power of the float output over that of the error, in decibels, on training images: 6 dB are one bit. float ${percent(report.accuracy.float)}, int8 ${percent(report.accuracy.int8)} of ${whole(report.accuracy.images)} test images.`,
    bars("By layer, all before it included", layers.map((layer, i) => ({ name: layer.layer, value: layer.snr_db, text: layer.snr_db.toFixed(1) + "\u202fdB", key: `snr.${i}` }))));
}

function heat(measured, i) {
  const { provenance, layers } = measured;
  const ticks = (entry) => entry.outcome.measured?.ticks ?? entry.outcome.predicted?.ticks;
  const rows = new Map(), columns = new Map(), others = [];
  let [least, most] = [Infinity, 0];
  for (const entry of layers) {
    const block = entry.layer.block;
    const value = ticks(entry);
    if (!block) { others.push([entry.text, value === undefined ? entry.outcome.refused : whole(value)]); continue; }
    const { input } = block;
    const row = `${input.height}×${input.width}×${input.channels} → ${block.channels}${block.stride > 1 ? ", stride " + block.stride : ""}${block.residual ? ", residual" : ""}`;
    const ratio = block.expanded / input.channels;
    const column = `${block.kernel}×${block.kernel} ·${Number.isInteger(ratio) ? ratio : ratio.toFixed(1)}`;
    columns.set(column, block.kernel * 1000 + ratio);
    if (!rows.has(row)) rows.set(row, { order: input.height * 1e6 - input.channels * 100 - block.stride, cells: new Map() });
    rows.get(row).cells.set(column, entry);
    if (value) { least = Math.min(least, value); most = Math.max(most, value); }
  }
  const names = [...columns].sort((a, b) => a[1] - b[1]).map(([name]) => name);
  const cell = (entry) => {
    if (!entry) return el("td", {}, "");
    const value = ticks(entry);
    if (value === undefined) return el("td", { title: entry.outcome.refused }, "no");
    const share = 0.08 + 0.92 * (Math.log(value / least) / (Math.log(most / least) || 1));
    return el("td", { title: `${entry.text}: ${whole(value)}`, style: `--share:${(100 * share).toFixed(0)}%` }, short(value));
  };
  const sorted = [...rows].sort((a, b) => b[1].order - a[1].order);
  // Not by the board's name: two tables may be of one board, and a name is no id.
  section("table-" + (i + 1), `Latency table of ${provenance.board}`, [figure("table.layers", layers.length, whole(layers.length)),
    ` layers, ${provenance.core}, in ${provenance.unit}, ${provenance.date}. Blocks by map, and by kernel and expand ratio; the fuller the colour, the slower.`],
    el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Ticks of the blocks" }, el("table", { class: "heat" },
      el("thead", {}, el("tr", {}, el("td"), names.map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, sorted.map(([name, { cells }]) => el("tr", {}, el("th", { scope: "row" }, name), names.map((column) => cell(cells.get(column)))))))),
    others.length ? el("details", {}, el("summary", {}, `${others.length} other layers`), table("Other layers", ["layer", provenance.unit], others, [1])) : null);
}

function training() {
  const judged = page.training.filter((line) => line["validation/largest"] !== undefined);
  const trained = page.training.filter((line) => typeof line["train/loss"] === "number");
  if (!trained.length && !judged.length) return missing("training", "The training", "ofa train");
  const about = { width: widest(440), height: 300, x: [0, Math.max(...page.training.map((line) => line.step))], xText: tick, xName: "step" };
  const names = ["largest", "middle", "smallest"], colours = ["first", "third", "second"], dashes = [undefined, "7 3", "2 3"];
  const parts = [];
  if (trained.length) {
    const losses = trained.map((line) => line["train/loss"]);
    const f = frame({ ...about, label: "Training loss over steps", y: [Math.min(...losses) * .95, Math.max(...losses)], yText: (loss, step) => loss.toFixed(decimals(step)), yName: "loss" });
    f.drawing.append(path(trained.map((line) => [f.across(line.step), f.down(line["train/loss"])]), "first"));
    parts.push(el("div", {}, el("h3", {}, "Loss"), f.drawing));
  }
  if (judged.length) {
    const all = judged.flatMap((line) => names.map((name) => line["validation/" + name]));
    const f = frame({ ...about, label: "Validation accuracy over steps", y: [Math.min(...all), Math.min(1, Math.max(...all) + .02)], yText: percentTick, yName: "validation accuracy" });
    names.forEach((name, i) => {
      f.drawing.append(path(judged.map((line) => [f.across(line.step), f.down(line["validation/" + name])]), colours[i], dashes[i]));
      for (const line of judged) f.drawing.append(svg("circle", { cx: f.across(line.step), cy: f.down(line["validation/" + name]), r: 2.5, fill: `var(--${colours[i]})` }, svg("title", {}, `${name}, step ${line.step}: ${percent(line["validation/" + name])}`)));
    });
    parts.push(el("div", {}, el("h3", {}, "Accuracy of three nets"), el("p", {}, names.map((name, i) => key(colours[i], name))), f.drawing));
  }
  section("training", "The training", "Phase after phase: " + [...new Set(page.training.map((line) => line.phase))].join(", ") + ".", el("div", { class: "two" }, parts));
}

function predictor() {
  if (!page.predictor) return missing("predictor", "The predictor", "ofa predictor");
  const { report, noise, samples } = page.predictor;
  const values = samples.flatMap((sample) => [sample.accuracy, sample.predicted]);
  const range = [Math.min(...values), Math.max(...values)];
  const tau = (value) => value === null ? "unknown" : value.toFixed(2);
  const f = frame({ label: `${samples.length} nets: measured over predicted accuracy`, width: widest(560), height: phone ? 320 : 400, x: range, y: range, xText: percentTick, yText: percentTick, xName: "predicted, not having seen the net", yName: "measured" });
  f.drawing.append(svg("line", { class: "axis", x1: f.across(range[0]), x2: f.across(range[1]), y1: f.down(range[0]), y2: f.down(range[1]) }));
  for (const sample of samples) f.drawing.append(svg("circle", { cx: f.across(sample.predicted), cy: f.down(sample.accuracy), r: 3.5, fill: "var(--first)", "fill-opacity": .6 }, svg("title", {}, archText(sample.arch))));
  section("predictor", "The predictor", ["On ", whole(report.held_out), " nets held out: root mean squared error ", figure("predictor.rmse", report.rmse, (100 * report.rmse).toFixed(2)),
    " points, Kendall's tau ", figure("predictor.tau", report.kendall_tau, tau(report.kendall_tau)), `. ${whole(noise.images)} images leave a noise of ${(100 * noise.beside.standard_error).toFixed(2)} points, with which tau ${tau(noise.beside.tau)} is the most there is.`],
    el("div", { style: "max-width:36rem" }, f.drawing));
}

head();
beside();
pareto();
drawnNet();
page.tables.forEach(heat);
predictor();
training();
way();
document.getElementById("nav").append(el("ul", {}, sections.map(([id, title]) => el("li", {}, el("a", { href: "#" + id }, title)))));
document.documentElement.dataset.drawn = "yes";
