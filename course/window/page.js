const packed = Uint8Array.from(atob(document.getElementById("records").textContent), (c) => c.charCodeAt(0));
const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
const steps = data.steps, words = data.words, KEY = 64;
const $ = (id) => document.getElementById(id);
const keys = []; // the state after every KEY-th step
let at = 0, playing = null, picked = null, follow = data.live, due = false;

const fresh = () => ({ seats: new Map(), done: new Map() });
const hue = (id) => `hsl(${(id * 137.5) % 360} 62% 55%)`;
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const word = (token) => words[token] ?? `⟨${token}⟩`;

function known(state, id) {
  let one = state.seats.get(id);
  one = one ? { ...one } : { table: [], computed: 0, said: 0, cached: 0, preempted: 0, running: false };
  state.seats.set(id, one);
  return one;
}

function apply(state, step) {
  for (const id of step.a ?? []) state.seats.delete(id);
  for (const id of step.p ?? []) { const one = known(state, id); one.table = []; one.computed = 0; one.running = false; one.preempted++; }
  for (const [id, count] of step.h ?? []) known(state, id).cached = count;
  for (const [id, kept, more] of step.t ?? []) { const one = known(state, id); one.table = one.table.slice(0, kept).concat(more); }
  for (const [id, start, length] of step.c ?? []) { const one = known(state, id); one.computed = start + length; one.running = true; }
  for (const [id, tokens] of step.e ?? []) { const one = known(state, id); one.said += tokens.length; one.computed += tokens.length - 1; }
}

function leave(state, step) { for (const id of step.f ?? []) state.seats.delete(id); }

function index(from) { // keyframes of the steps that came since
  let state = from ? copy(keys[keys.length - 1].state) : fresh();
  let begin = from ? keys[keys.length - 1].next : 0;
  for (let i = begin; i < steps.length; i++) {
    if (i % KEY === 0 && i >= keys.length * KEY) keys.push({ next: i, state: copy(state) });
    apply(state, steps[i]); leave(state, steps[i]);
  }
}
const copy = (state) => ({ seats: new Map(state.seats), done: state.done });

function stateAt(place) { // in the midst of a step: who finishes in it is still there
  const key = keys[Math.floor(place / KEY)], state = copy(key.state);
  for (let i = key.next; i <= place; i++) { apply(state, steps[i]); if (i < place) leave(state, steps[i]); }
  return state;
}

function fit(canvas, height) {
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth || 300;
  canvas.width = width * ratio; canvas.height = height * ratio; canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d"); pen.scale(ratio, ratio);
  return [pen, width];
}

let chart = null;
function drawTime() {
  const canvas = $("time"), height = 90;
  if (!chart || chart.length !== steps.length || chart.wide !== canvas.clientWidth) {
    const sheet = document.createElement("canvas"), [, width] = fit(canvas, height), ratio = devicePixelRatio || 1;
    sheet.width = width * ratio; sheet.height = height * ratio;
    const pen = sheet.getContext("2d"); pen.scale(ratio, ratio);
    const most = steps.reduce((top, step) => Math.max(top, step.r, step.w), 1), x = width / Math.max(1, steps.length);
    const line = (colour, value, filled) => {
      pen.beginPath(); if (filled) pen.moveTo(0, height);
      const skip = Math.max(1, Math.floor(steps.length / (2 * width)));
      for (let i = 0; i < steps.length; i += skip) pen.lineTo((i + .5) * x, height - 2 - (height - 6) * value(steps[i]));
      pen.globalAlpha = filled ? .3 : 1;
      if (filled) { pen.lineTo(width, height); pen.fillStyle = colour; pen.fill(); } else { pen.strokeStyle = colour; pen.lineWidth = 1.5; pen.stroke(); }
      pen.globalAlpha = 1;
    };
    line(css("--kv"), (s) => 1 - s.v / (data.blocks - 1), true);
    line(css("--run"), (s) => s.r / most); line(css("--wait"), (s) => s.w / most);
    pen.fillStyle = css("--bad");
    steps.forEach((s, i) => { if (s.p) pen.fillRect(i * x, 0, Math.max(2, x), 5); });
    chart = { sheet, length: steps.length, wide: canvas.clientWidth };
  }
  const [pen, width] = fit(canvas, height);
  pen.drawImage(chart.sheet, 0, 0, width, height);
  pen.fillStyle = css("--ink"); pen.fillRect((at + .5) * width / Math.max(1, steps.length), 0, 1.5, height);
}

let places = null;
function drawPool(state, step) {
  const canvas = $("pool"), count = data.blocks - 1, width = canvas.clientWidth || 300;
  const side = Math.max(7, Math.min(26, Math.floor(Math.sqrt(width * 320 / count)))), row = Math.max(1, Math.floor(width / side));
  const [pen] = fit(canvas, Math.ceil(count / row) * side + 2);
  const owners = new Map();
  for (const [id, one] of state.seats) for (const block of one.table) owners.has(block) ? owners.get(block).push(id) : owners.set(block, [id]);
  places = { side, row, owners };
  const spot = (block) => [((block - 1) % row) * side + 1, Math.floor((block - 1) / row) * side + 1];
  const empty = css("--empty"), ink = css("--ink");
  pen.textAlign = "center"; pen.textBaseline = "middle"; pen.font = `bold ${Math.max(7, side * .5)}px sans-serif`;
  for (let block = 1; block <= count; block++) {
    const [x, y] = spot(block), who = owners.get(block), mine = picked !== null && who?.includes(picked);
    pen.globalAlpha = picked === null || !who || mine ? 1 : .3;
    pen.fillStyle = who ? hue(mine ? picked : who[0]) : empty; pen.fillRect(x, y, side - 2, side - 2);
    if (mine) { pen.strokeStyle = ink; pen.lineWidth = 1.5; pen.strokeRect(x + .5, y + .5, side - 3, side - 3); }
    if (who?.length > 1) { pen.fillStyle = "#000"; pen.fillText(who.length, x + side / 2 - 1, y + side / 2); }
  }
  pen.globalAlpha = 1; pen.strokeStyle = css("--bad"); pen.lineWidth = 2;
  for (const [from, to] of step.k ?? []) {
    const [a, b] = spot(from), [c, d] = spot(to), h = side / 2 - 1, turn = Math.atan2(d - b, c - a);
    pen.beginPath(); pen.moveTo(a + h, b + h); pen.lineTo(c + h, d + h);
    for (const bend of [2.6, -2.6]) { pen.moveTo(c + h, d + h); pen.lineTo(c + h + 6 * Math.cos(turn + bend), d + h + 6 * Math.sin(turn + bend)); }
    pen.stroke();
  }
}

function tell(state, step) {
  const tokens = (step.c ?? []).reduce((sum, chunk) => sum + chunk[2], 0), lines = [];
  $("now").textContent = `Step ${step.n}: ${tokens} tokens of ${(step.c ?? []).length} requests; ${step.r} run, ${step.w} wait, ${step.v} of ${data.blocks - 1} blocks are free.`;
  const prefills = (step.c ?? []).filter((chunk) => chunk[2] > 1 || !chunk[3]);
  if (step.p) lines.push(["bad", `Preempted: ${step.p.join(", ")}. Blocks were lacking, so these gave theirs back and start over later.`]);
  if (step.k) lines.push(["", `Copied before writing: ${step.k.map(([a, b]) => `block ${a} to ${b}`).join(", ")}, since others read the first.`]);
  for (const [id, count] of (step.h ?? []).filter((each) => each[1])) lines.push(["", `Request ${id} came in and borrowed the KV of ${count} tokens.`]);
  for (const [id, start, length, samples] of prefills.slice(0, 6)) lines.push(["", `Request ${id} reads tokens ${start} to ${start + length - 1}${samples ? " and says its next one" : ""}.`]);
  const lucky = (step.e ?? []).filter((each) => each[1].length > 1);
  for (const [id, said] of lucky.slice(0, 4)) lines.push(["", `Request ${id}: ${said.length - 1} guesses were right (${said.map(word).join("")}).`]);
  if (step.f) lines.push(["", `Finished: ${step.f.join(", ")}.`]);
  if (step.a) lines.push(["", `Aborted: ${step.a.join(", ")}.`]);
  $("events").replaceChildren(...lines.map(([kind, text]) => { const item = document.createElement("li"); item.textContent = text; item.className = kind; return item; }));
}

function list(state) {
  const rows = [...state.seats].sort((a, b) => a[0] - b[0]).slice(0, 96).map(([id, one]) => {
    const row = document.createElement("button"), small = document.createElement("small");
    row.className = "request"; row.setAttribute("role", "option"); row.dataset.id = id; row.tabIndex = -1;
    row.setAttribute("aria-selected", id === picked); row.style.setProperty("border-left-color", hue(id));
    small.textContent = `${one.computed} tokens with KV in ${one.table.length} blocks${one.preempted ? `, preempted ${one.preempted}×` : ""}`;
    row.append(one.running ? `${id} runs` : `${id} waits again`, small);
    return row;
  });
  $("requests").replaceChildren(...rows);
}

function detail(state) {
  $("one").hidden = picked === null;
  if (picked === null) return;
  const one = state.seats.get(picked), said = [];
  for (let i = 0; i <= at; i++) for (const [id, tokens] of steps[i].e ?? []) if (id === picked) said.push(...tokens);
  $("h-one").textContent = `Request ${picked}`;
  $("facts").textContent = one ? `${one.computed} tokens have KV, ${one.cached} of them were borrowed; ${said.length} said.` : `It is not here in this step; ${said.length} tokens were said so far.`;
  $("table").textContent = one ? `Block table: ${one.table.join(" ") || "none"}` : "";
  $("words").textContent = said.map(word).join("");
}

function draw() {
  due = false;
  if (!steps.length) { $("now").textContent = "Nothing has run yet."; return; }
  at = Math.max(0, Math.min(at, steps.length - 1));
  const state = stateAt(at), step = steps[at];
  $("scrub").max = $("step").max = steps.length - 1; $("scrub").value = at;
  if (document.activeElement !== $("step")) $("step").value = at;
  tell(state, step); drawTime(); drawPool(state, step); list(state); detail(state);
}
function later() { if (!due) { due = true; requestAnimationFrame(draw); } }
function go(place) { at = Math.max(0, Math.min(place, steps.length - 1)); follow = data.live && at === steps.length - 1; later(); }
function pick(id) { picked = id === picked ? null : id; later(); }

function play(on) {
  clearInterval(playing); playing = null; $("play").textContent = on ? "Pause" : "Play"; $("play").setAttribute("aria-pressed", on);
  if (on) playing = setInterval(() => { if (at >= steps.length - 1 && !data.live) play(false); else go(at + 1); }, 1000 / $("speed").value);
}
function toggle() { if (!playing && at >= steps.length - 1) at = 0; play(!playing); }
function pickNext(way) {
  const ids = [...stateAt(at).seats.keys()].sort((a, b) => a - b); if (!ids.length) return;
  const place = ids.indexOf(picked); picked = ids[place < 0 ? (way > 0 ? 0 : ids.length - 1) : (place + way + ids.length) % ids.length]; later();
}

$("title").textContent = data.title; document.title = data.title;
$("first").onclick = () => go(0); $("last").onclick = () => go(steps.length - 1);
$("back").onclick = () => go(at - 1); $("next").onclick = () => go(at + 1); $("play").onclick = toggle;
$("scrub").oninput = (event) => go(Number(event.target.value));
$("step").onchange = (event) => go(Number(event.target.value) || 0);
$("speed").onchange = () => { if (playing) play(true); };
$("requests").onclick = (event) => { const row = event.target.closest(".request"); if (row) pick(Number(row.dataset.id)); };
$("pool").onclick = (event) => { const block = Math.floor(event.offsetY / places.side) * places.row + Math.floor(event.offsetX / places.side) + 1, who = places.owners.get(block); if (who) pick(who[0]); };
$("time").onclick = (event) => go(Math.floor(event.offsetX / event.target.clientWidth * steps.length));
document.onkeydown = (event) => {
  if (["INPUT", "SELECT"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = { ArrowRight: () => go(at + 1), ArrowLeft: () => go(at - 1), Home: () => go(0), End: () => go(steps.length - 1), PageDown: () => go(at + 100), PageUp: () => go(at - 100), "[": () => pickNext(-1), "]": () => pickNext(1), Escape: () => { picked = null; later(); } }[event.key];
  if (event.key === " " && event.target.tagName !== "BUTTON") { event.preventDefault(); toggle(); } else if (act) { event.preventDefault(); act(); }
};
onresize = later; matchMedia("(prefers-color-scheme: dark)").onchange = () => { chart = null; later(); };
if (data.live) {
  const source = new EventSource("trace");
  source.onmessage = (event) => { const told = JSON.parse(event.data); Object.assign(words, told.words); steps.push(...told.steps); index(keys.length > 0); if (follow) at = steps.length - 1; later(); };
}
index(false); draw();
