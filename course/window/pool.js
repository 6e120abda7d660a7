// The pool of KV blocks: whose each is, how many read it, what was copied, what a preemption gave back.
const MARGIN = 26; // for the number of the first block of each row
let places = null, pointed = null; // where the blocks are, for clicks; the one below the mouse

function drawPool(run, state, step, before, picked) {
  const canvas = $("pool"), count = run.blocks - 1, width = canvas.clientWidth || 300;
  const side = Math.max(6, Math.min(30, Math.floor(Math.sqrt(width * 300 / count)))), row = Math.max(1, Math.floor((width - 2 - MARGIN) / side));
  const [pen] = fit(canvas, Math.ceil(count / row) * side + 2);
  const pool = poolOf(run, state, step), { owners } = pool, given = givenUp(step, before), evicted = new Set((step.x ?? []).filter((each) => each.length === 1).flatMap((each) => each[0]));
  places = { ...pool, side, row, count, cache: state.cache, given, evicted };
  const spot = (block) => [MARGIN + ((block - 1) % row) * side + 1, Math.floor((block - 1) / row) * side + 1];
  const ink = { empty: css("--empty"), text: css("--ink"), dim: css("--dim"), bad: css("--bad"), wait: css("--wait") };
  pen.textAlign = "center"; pen.textBaseline = "middle";
  for (let block = 1; block <= count; block++) {
    const [x, y] = spot(block);
    drawBlock(pen, ink, x, y, side - 2, owners.get(block) ?? [], state.cache.has(block), given.get(block), picked);
    drawMarks(pen, ink, x, y, side - 2, block);
  }
  pen.globalAlpha = 1; pen.fillStyle = ink.dim; pen.font = "10px sans-serif"; pen.textAlign = "right";
  for (let block = 1; block <= count; block += row) if (side > 9) pen.fillText(block, MARGIN - 4, spot(block)[1] + side / 2);
  canvas.setAttribute("aria-label", `Blocks of the KV pool: ${pool.free.size} free, ${pool.freed.size} freed at the end of the step, ${pool.aside.size} set aside, ${owners.size} in tables, ${state.cache.size} kept by the prefix cache`);
  tellPointed();
  pen.globalAlpha = 1; pen.strokeStyle = pen.fillStyle = ink.text; pen.lineWidth = 2;
  for (const [from, to] of step.k ?? []) drawCopy(pen, spot(from), spot(to), side / 2 - 1);
}

function drawBlock(pen, ink, x, y, side, who, cached, given, picked) {
  const mine = picked !== null && who.includes(picked);
  pen.globalAlpha = picked === null || !who.length || mine ? 1 : .25;
  pen.fillStyle = ink.empty; pen.fillRect(x, y, side, side);
  who.slice(0, Math.max(2, Math.floor(side / 3))).forEach((id, place, shown) => { // a stripe for each reader
    pen.fillStyle = hue(id); pen.fillRect(x + place * side / shown.length, y, side / shown.length + .3, side);
  });
  if (cached) { // a corner: the prefix cache keeps it
    pen.fillStyle = ink.dim; pen.beginPath(); const corner = Math.max(4, side * (who.length ? .35 : .55));
    pen.moveTo(x, y); pen.lineTo(x + corner, y); pen.lineTo(x, y + corner); pen.fill();
  }
  if (mine) { pen.strokeStyle = ink.text; pen.lineWidth = 1.5; pen.strokeRect(x + .75, y + .75, side - 1.5, side - 1.5); }
  if (given === false) { pen.globalAlpha = 1; pen.strokeStyle = ink.bad; pen.lineWidth = 2.5; pen.strokeRect(x + 1.25, y + 1.25, side - 2.5, side - 2.5); }
  if (given) { pen.globalAlpha = 1; pen.fillStyle = ink.bad; pen.beginPath(); pen.arc(x + side * .8, y + side * .2, Math.max(2, side * .14), 0, 7); pen.fill(); }
  if (who.length > 1 && side > 9) {
    const [across, down] = [x + side * .66, y + side * .7]; // not over the stripes' middle
    pen.font = `bold ${Math.max(8, side * .45)}px sans-serif`; pen.lineWidth = 3; pen.strokeStyle = "#fff"; pen.fillStyle = "#000";
    pen.strokeText(who.length, across, down); pen.fillText(who.length, across, down);
  }
}

function drawMarks(pen, ink, x, y, side, block) { // what becomes of it, and what became of it
  const { freed, aside, evicted } = places;
  pen.globalAlpha = 1;
  if (freed.has(block)) { // paler, in a dashed frame
    pen.globalAlpha = .6; pen.fillStyle = ink.empty; pen.fillRect(x, y, side, side); pen.globalAlpha = 1;
    pen.strokeStyle = ink.text; pen.lineWidth = 1; pen.setLineDash([3, 2]); pen.strokeRect(x + .5, y + .5, side - 1, side - 1); pen.setLineDash([]);
  }
  if (aside.has(block)) {
    pen.strokeStyle = ink.dim; pen.lineWidth = 1; pen.beginPath();
    for (let at = side / 3; at < 2 * side; at += side / 3) { pen.moveTo(x + Math.min(at, side), y + Math.max(0, at - side)); pen.lineTo(x + Math.max(0, at - side), y + Math.min(at, side)); }
    pen.stroke();
  }
  if (evicted.has(block)) { pen.fillStyle = ink.wait; pen.fillRect(x, y + side - Math.max(3, side * .2), side, Math.max(3, side * .2)); }
}

function givenUp(step, before) { // by a preemption: whether others read it
  const owners = ownersOf(before.seats), given = new Map();
  for (const id of step.p ?? []) for (const block of before.seats.get(id)?.table ?? []) given.set(block, owners.get(block).some((one) => !step.p.includes(one)));
  return given;
}

function drawCopy(pen, [a, b], [c, d], half) {
  const turn = Math.atan2(d - b, c - a), [x, y] = [c + half, d + half];
  pen.beginPath(); pen.moveTo(a + half, b + half); pen.lineTo(x, y);
  for (const bend of [2.6, -2.6]) { pen.moveTo(x, y); pen.lineTo(x + 8 * Math.cos(turn + bend), y + 8 * Math.sin(turn + bend)); }
  pen.stroke();
}

function blockAt(event) {
  const column = Math.floor((event.offsetX - MARGIN - 1) / places.side), block = Math.floor((event.offsetY - 1) / places.side) * places.row + column + 1;
  return column >= 0 && column < places.row && block >= 1 && block <= places.count ? block : null;
}

function tellBlock(block) {
  const readers = places.owners.get(block) ?? [], kept = places.cache.has(block) ? "the prefix cache keeps it" : "";
  const read = readers.length > 1 ? `shared by requests ${all(readers)}` : readers.length ? `of request ${who(readers[0])}` : "";
  const nobodys = places.aside.has(block) ? "in no table, and not free either: set aside" : places.free.has(block) ? "free" : "";
  const given = !places.given.has(block) ? "" : places.given.get(block) ? "a preempted request read it too" : "a preemption gave it up";
  const freed = places.freed.has(block) ? "freed at the end of this step" : "", evicted = places.evicted.has(block) ? "evicted from the prefix cache in this step" : "";
  return `Block ${block}: ${[evicted, given, read, freed, kept, nobodys].filter(Boolean).join("; ")}.`;
}

function tellPointed() { $("block").textContent = pointed && pointed <= places.count ? tellBlock(pointed) : ""; }
