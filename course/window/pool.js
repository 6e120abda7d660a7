// The pool of KV blocks: whose each is, how many read it, what was copied, what a preemption gave back.
let places = null; // where the blocks are, for clicks

function drawPool(run, state, step, before, picked) {
  const canvas = $("pool"), count = run.blocks - 1, width = canvas.clientWidth || 300;
  const side = Math.max(6, Math.min(30, Math.floor(Math.sqrt(width * 300 / count)))), row = Math.max(1, Math.floor((width - 2) / side));
  const [pen] = fit(canvas, Math.ceil(count / row) * side + 2);
  const owners = ownersOf(state.seats), given = new Map(); // by a preemption: whether others read it still
  for (const id of step.p ?? []) for (const block of before.get(id)?.table ?? []) given.set(block, owners.has(block));
  places = { side, row, count, owners, cache: state.cache };
  const spot = (block) => [((block - 1) % row) * side + 1, Math.floor((block - 1) / row) * side + 1];
  const ink = { empty: css("--empty"), text: css("--ink"), dim: css("--dim"), bad: css("--bad") };
  pen.textAlign = "center"; pen.textBaseline = "middle";
  for (let block = 1; block <= count; block++) {
    const [x, y] = spot(block);
    drawBlock(pen, ink, x, y, side - 2, owners.get(block) ?? [], state.cache.has(block), given.get(block), picked);
  }
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

function drawCopy(pen, [a, b], [c, d], half) {
  const turn = Math.atan2(d - b, c - a), [x, y] = [c + half, d + half];
  pen.beginPath(); pen.moveTo(a + half, b + half); pen.lineTo(x, y);
  for (const bend of [2.6, -2.6]) { pen.moveTo(x, y); pen.lineTo(x + 8 * Math.cos(turn + bend), y + 8 * Math.sin(turn + bend)); }
  pen.stroke();
}

function blockAt(event) {
  const column = Math.floor((event.offsetX - 1) / places.side), block = Math.floor((event.offsetY - 1) / places.side) * places.row + column + 1;
  return column < places.row && block >= 1 && block <= places.count ? block : null;
}

function tellBlock(block) {
  const readers = places.owners.get(block) ?? [], kept = places.cache.has(block) ? "the prefix cache keeps it" : "";
  const read = readers.length > 1 ? `shared by requests ${all(readers)}` : readers.length ? `of request ${who(readers[0])}` : "";
  return `Block ${block}: ${[read, kept].filter(Boolean).join("; ") || "free"}.`;
}
