// The page: which step, which request, which engine; playing; and, where it is live, what the server says.
const packed = Uint8Array.from(atob($("records").textContent), (c) => c.charCodeAt(0));
const data = await new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
const FINDS = ["preempted", "shared", "copied", "guessed", "evicted"], MOST_STEPS = 40000;
let runs = data.runs.map((told) => new Run(told)), run = runs[0] ?? null;
let at = 0, playing = null, picked = null, follow = Boolean(data.live), due = false, shown = null;

const word = (token) => data.words[token] ?? `⟨${token}⟩`;
const spoken = (token) => word(token) || (run.ends.has(token) ? "⟨end⟩" : "");
const written = (token) => spoken(token) || `⟨${token}⟩`;
const who = (id) => run.names?.[id] ?? id;
const later = () => { if (!due) { due = true; requestAnimationFrame(draw); } };
const last = () => (run ? run.steps.length - 1 : 0);

function go(place) { at = Math.max(0, Math.min(Math.floor(place) || 0, last())); follow = Boolean(data.live) && at === last(); later(); }
function pick(id) { picked = id === picked ? null : id; later(); }

function draw() {
  due = false;
  $("empty").hidden = Boolean(run?.steps.length);
  $("all").hidden = !run?.steps.length;
  if (!run?.steps.length) { $("now").textContent = "Nothing has run yet."; return; }
  at = Math.max(0, Math.min(at, last()));
  const step = run.steps[at], state = run.stateAt(at), before = run.before(at);
  if (shown !== run || data.live) arrange();
  $("scrub").max = $("step").max = last(); $("scrub").value = at;
  if (document.activeElement !== $("step")) $("step").value = at;
  runs.forEach((each, place) => drawTime($(`time-${place}`), each, each === run ? at : null));
  drawPool(run, state, step, before, picked);
  if (!$("s-steps").hidden) drawSteps(run, at, picked);
  tellStep(run, state, step, before, at);
  if (!$("s-guess").hidden) drawGuesses(run, step, written, picked, pick);
  if (!$("s-cache").hidden) drawCache(run, state, at, word, picked);
  listRequests(state, picked); tellRequest(run, state, at, word, picked);
}

function arrange() { // what this run has nothing of is not shown
  shown = run;
  const longest = Math.max(...runs.map((each) => each.steps.length));
  for (const each of runs) each.longest = longest;
  if ($("times").childElementCount !== runs.length) $("times").replaceChildren(...runs.map(timeChart));
  $("s-steps").hidden = $("s-budget").hidden = !run.steps.some((step) => step.c);
  $("s-pool").hidden = $("s-req").hidden = run.blocks < 2; $("s-time").hidden = run.steps.some((step) => step.l);
  $("s-guess").hidden = !run.parents.length;
  $("s-cache").hidden = !run.steps.some((step) => step.x);
  for (const name of FINDS) {
    const count = run.found[name].length;
    $(`find-${name}`).disabled = !count; $(`find-${name}`).hidden = !count && !data.live; $(`count-${name}`).textContent = several(count, "step");
  }
  runs.forEach((each, place) => $(`name-${place}`).setAttribute("aria-pressed", each === run));
}

function timeChart(each, place) {
  const canvas = element("canvas", { id: `time-${place}`, onclick: (event) => { run = each; go(event.offsetX / canvas.clientWidth * each.longest); } });
  canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", `${each.name}: KV in use, requests running and waiting, by step`);
  const button = element("button", { id: `name-${place}`, textContent: `${each.name}: ${several(each.steps.length, "step")}`, hidden: runs.length < 2, onclick: () => { run = each; go(at); } });
  return element("div", {}, button, canvas);
}

function find(name) { // the next one, from the first again after the last
  const places = run.found[name], place = places.find((each) => each > at) ?? places[0];
  play(false); picked = guesser = null; go(place);
}

function play(on) {
  clearInterval(playing); playing = null; $("play").textContent = on ? "Pause" : "Play"; $("play").setAttribute("aria-pressed", on);
  if (on) playing = setInterval(() => { if (at >= last() && !data.live) play(false); else go(at + 1); }, 1000 / $("speed").value);
}
function toggle() { if (!playing && at >= last()) at = 0; play(!playing); }

function pickNext(way) {
  const ids = [...run.stateAt(at).seats.keys()].sort((a, b) => a - b), place = ids.indexOf(picked);
  if (ids.length) { picked = ids[place < 0 ? (way > 0 ? 0 : ids.length - 1) : (place + way + ids.length) % ids.length]; later(); }
}

$("title").textContent = data.title; document.title = data.title;
$("first").onclick = () => go(0); $("last").onclick = () => go(last());
$("back").onclick = () => go(at - 1); $("next").onclick = () => go(at + 1); $("play").onclick = toggle;
$("scrub").oninput = (event) => go(event.target.value);
$("step").onchange = (event) => go(event.target.value);
$("speed").onchange = () => { if (playing) play(true); };
for (const name of FINDS) $(`find-${name}`).onclick = () => find(name);
$("requests").onclick = (event) => { const row = event.target.closest(".request"); if (row) pick(Number(row.dataset.id)); };
$("pool").onclick = (event) => { const who = places.owners.get(blockAt(event)); if (who) pick(who[0]); };
$("pool").onmousemove = (event) => { pointed = blockAt(event); tellPointed(); };
$("pool").onmouseleave = () => { pointed = null; tellPointed(); };
$("steps").onclick = (event) => { const [step, id] = stepAt(event); if (id !== null) picked = id; if (step !== null) go(step); else later(); };
const KEYS = {
  ArrowRight: () => go(at + 1), ArrowLeft: () => go(at - 1), Home: () => go(0), End: () => go(last()), PageDown: () => go(at + 100), PageUp: () => go(at - 100),
  "[": () => pickNext(-1), "]": () => pickNext(1), Escape: () => { picked = null; later(); },
};
document.onkeydown = (event) => {
  if (!run || ["INPUT", "SELECT"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === " " && event.target.tagName !== "BUTTON") { event.preventDefault(); toggle(); }
  else if (KEYS[event.key]) { event.preventDefault(); KEYS[event.key](); }
};
onresize = later; matchMedia("(prefers-color-scheme: dark)").onchange = () => { colours = {}; later(); };
draw();
if (data.live) listen();

// ---------------------------------------------------------------- live

function keyOfServer() { return decodeURIComponent(location.hash.replace(/^#key=/, "")); }

async function listen() { // for as long as the page is open; what comes in is told by the server's feed
  $("locked").onsubmit = (event) => { event.preventDefault(); location.hash = `key=${encodeURIComponent($("key").value)}`; };
  for (;;) {
    const state = await hear().catch(() => "away");
    $("locked").hidden = state !== "locked";
    if (state !== "locked") { await new Promise((awake) => setTimeout(awake, 2000)); continue; }
    $("empty").hidden = true; $("key").focus();
    await new Promise((given) => addEventListener("hashchange", given, { once: true }));
  }
}

async function hear() {
  const given = keyOfServer(), answer = await fetch("trace", given ? { headers: { Authorization: `Bearer ${given}` } } : {});
  if (answer.status === 401) return "locked";
  if (!answer.ok) return "away";
  let rest = "";
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return "away";
    const told = (rest + value).split("\n\n"); rest = told.pop();
    for (const one of told) if (one.startsWith("data: ")) take(JSON.parse(one.slice(6)));
    if (run?.steps.length > MOST_STEPS) { await reader.cancel(); return "long"; } // from what the server keeps, anew
  }
}

function take(told) {
  if (told.run) { run = new Run({ steps: [], ...told.run }); runs = [run]; at = 0; picked = null; follow = true; data.title = $("title").textContent = document.title = told.title; }
  Object.assign(data.words, told.words ?? {});
  if (told.steps) run.add(told.steps);
  if (follow) at = last();
  later();
}
