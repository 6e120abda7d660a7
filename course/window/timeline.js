// Everything over time, and the steps around this one with a row for each request.
const CELL = 20, LANE = 21, LABEL = 30, LANES = 24;
let lanes = null; // what is where, for clicks

function drawTime(canvas, run, at) {
  const height = 84, [pen, width] = fit(canvas, height), key = [run.steps.length, run.longest, canvas.width, css("--kv")].join();
  if (run.chart?.key !== key) run.chart = { key, sheet: chartOf(run, canvas.width, canvas.height, width, height) };
  pen.drawImage(run.chart.sheet, 0, 0, width, height);
  if (at !== null) { pen.fillStyle = css("--ink"); pen.fillRect((at + .5) * width / run.longest - .75, 0, 1.5, height); }
}

function chartOf(run, wide, high, width, height) { // all but the mark of the step
  const sheet = element("canvas", { width: wide, height: high }), pen = sheet.getContext("2d"), { steps } = run, x = width / run.longest;
  pen.scale(wide / width, high / height);
  const skip = Math.max(1, Math.floor(steps.length / (2 * width)));
  const line = (value, colour, filled) => {
    let end = 0;
    pen.beginPath(); if (filled) pen.moveTo(0, height);
    for (let i = 0; i < steps.length; i += skip) pen.lineTo(end = (i + .5) * x, height - 2 - (height - 14) * value(steps[i]));
    if (filled) { pen.lineTo(end, height); pen.globalAlpha = .3; pen.fillStyle = colour; pen.fill(); pen.globalAlpha = 1; }
    else { pen.strokeStyle = colour; pen.lineWidth = 1.5; pen.stroke(); }
  };
  line((step) => 1 - step.v / (run.blocks - 1), css("--kv"), true);
  line((step) => step.r / run.most, css("--run")); line((step) => step.w / run.most, css("--wait"));
  pen.fillStyle = css("--bad");
  for (const i of run.found.preempted) pen.fillRect(i * x, 0, Math.max(2, x), 7);
  return sheet;
}

function drawSteps(run, at, picked) {
  const canvas = $("steps"), width = canvas.clientWidth || 300, columns = Math.max(5, Math.floor((width - LABEL) / CELL));
  const first = Math.max(0, Math.min(at - Math.floor(columns * .6), run.steps.length - columns)), last = Math.min(run.steps.length, first + columns);
  const cells = new Map(), cell = (id) => { if (!cells.has(id)) cells.set(id, new Map()); return cells.get(id); };
  for (let i = first; i < last; i++) letters(run.steps[i], (id, told) => cell(id).set(i, { ...cell(id).get(i), ...told }));
  const here = (id) => cells.get(id).has(at) || id === picked;
  const rows = [...cells.keys()].sort((a, b) => here(b) - here(a) || a - b).slice(0, LANES).sort((a, b) => a - b);
  const [pen] = fit(canvas, Math.max(1, rows.length) * LANE + 16);
  lanes = { first, rows, columns: last - first };
  pen.fillStyle = css("--empty"); pen.fillRect(LABEL + (at - first) * CELL, 0, CELL, canvas.clientHeight);
  pen.textBaseline = "middle"; pen.font = "11px sans-serif";
  rows.forEach((id, row) => {
    pen.globalAlpha = picked === null || id === picked ? 1 : .3;
    drawLane(pen, id, cells.get(id), row * LANE, first, last);
  });
  pen.globalAlpha = 1; pen.fillStyle = css("--dim"); pen.textAlign = "center";
  for (let i = first; i < last; i++) if (run.steps[i].n % 10 === 0) pen.fillText(run.steps[i].n, LABEL + (i - first + .5) * CELL, rows.length * LANE + 9);
  $("more").textContent = cells.size > rows.length ? `${several(cells.size - rows.length, "more request")} in these steps.` : "";
}

function letters(step, tell) { // what happened to whom
  for (const [id, , length, samples] of step.c ?? []) tell(id, { kind: length > 1 || !samples ? "read" : "say", says: samples });
  for (const [id] of step.e ?? []) tell(id, { gained: stoodOf(step, id) });
  for (const id of step.p ?? []) tell(id, { kind: "preempted" });
  for (const id of step.f ?? []) tell(id, { ended: true });
  for (const id of step.a ?? []) tell(id, { kind: "aborted" });
}

function drawLane(pen, id, told, y, first, last) {
  const middle = y + LANE / 2, times = [...told.keys()];
  pen.fillStyle = css("--ink"); pen.textAlign = "right"; pen.fillText(cut(String(who(id)), 4), LABEL - 5, middle + 1);
  let from = Math.min(...times), until = Math.max(...times);
  pen.fillStyle = css("--line");
  for (let i = from; i < until; i++) if (!told.has(i)) pen.fillRect(LABEL + (i - first) * CELL + 5, middle - 1, 5, 2);
  pen.textAlign = "center";
  for (const [i, one] of told) {
    const x = LABEL + (i - first) * CELL;
    if (one.kind === "preempted" || one.kind === "aborted") {
      pen.fillStyle = css("--bad"); pen.fillRect(x + 1, y + 2, CELL - 2, LANE - 4);
      pen.fillStyle = "#fff"; pen.font = "bold 12px sans-serif"; pen.fillText("✕", x + CELL / 2, middle + 1); pen.font = "11px sans-serif";
      continue;
    }
    pen.fillStyle = hue(id);
    if (one.kind === "read") pen.fillRect(x + 1, y + 2, CELL - 2, LANE - 4); else pen.fillRect(x + 1, middle + 1, CELL - 2, 6);
    if (one.gained) { pen.fillStyle = css("--ink"); pen.font = "bold 10px sans-serif"; pen.fillText(`+${one.gained}`, x + CELL / 2, y + 6); pen.font = "11px sans-serif"; }
    if (one.kind === "read" && one.says) { pen.fillStyle = css("--ink"); pen.fillRect(x + 4, y + LANE - 7, CELL - 8, 2); }
    if (one.ended) { pen.fillStyle = css("--ink"); pen.fillRect(x + CELL - 3, y + 2, 3, LANE - 4); }
  }
}

function stepAt(event) {
  const column = Math.floor((event.offsetX - LABEL) / CELL), row = Math.floor(event.offsetY / LANE);
  return [column >= 0 && column < lanes.columns ? lanes.first + column : null, lanes.rows[row] ?? null];
}
