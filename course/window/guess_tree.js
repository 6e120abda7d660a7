// The guesses that a request carried through one step: what stood, what was rejected.
const ROW = 27, WIDE = 118;
let guesser = null; // whose tree is looked at: the same one as long as it guesses

function drawGuesses(run, step, word, picked, pick) {
  const trees = [...(step.g ?? [])].sort((a, b) => a[0] - b[0]), telling = ([, tokens, walk]) => (walk.length < tokens.length ? 100 : 0) + walk.length;
  const chosen = trees.find(([id]) => id === picked) ?? trees.find(([id]) => id === guesser) ?? [...trees].sort((a, b) => telling(b) - telling(a))[0];
  $("guessers").replaceChildren(...trees.slice(0, 16).map(([id, tokens]) => {
    const button = element("button", { textContent: `${who(id)}: ${stoodOf(step, id)} of ${tokens.length - 1} stood`, onclick: () => pick(id) });
    button.style.borderLeft = `.5rem solid ${hue(id)}`; button.setAttribute("aria-pressed", id === chosen[0]);
    return button;
  }));
  if (!chosen) {
    $("guess").replaceChildren();
    $("verdict").textContent = "Nobody carries guesses in this step. Press “rejected guess” above to see a step in which somebody does.";
    return;
  }
  const [id, tokens, walk, next] = chosen, stood = stoodOf(step, id), late = walk.length - 1 - stood, fell = tokens.length - walk.length;
  const over = (step.e?.find(([one]) => one === id)?.[1].length ?? stood + 1) <= stood;
  guesser = id;
  $("verdict").textContent = `Request ${who(id)} tried ${tokens.length - 1} guesses in one step. `
    + (stood ? `${stood} stood (green), being what the model says: ${several(stood, "token")} gained. ` : "None of them was what the model says. ")
    + (over ? `The answer was over there${late ? `: ${late} more would have stood, and were not needed` : ""}. ` : "")
    + (fell ? `${fell} rejected (struck through): computed in vain, their KV is overwritten.` : "");
  $("guess").replaceChildren(guessPicture(run.parents, tokens, walk, over ? null : next, word, stood));
}

function guessPicture(parents, tokens, walk, next, word, stood) {
  const depth = [], below = tokens.map(() => []), row = [];
  parents.forEach((parent, node) => { depth[node] = parent < 0 ? 0 : depth[parent] + 1; if (parent >= 0) below[parent].push(node); });
  let rows = 0;
  const place = (node) => { // a node stands level with the first of its children
    row[node] = below[node].length ? null : rows++;
    below[node].forEach(place);
    if (below[node].length) row[node] = row[below[node][0]];
  };
  place(0);
  const end = walk[walk.length - 1], deepest = Math.max(...depth), last = { x: (depth[end] + 1) * WIDE, y: (below[end].length ? rows++ : row[end]) * ROW };
  const width = (Math.max(deepest, depth[end] + 1) + 1) * WIDE, height = rows * ROW + 4;
  const picture = shape("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": $("verdict").textContent });
  const edge = (x, y, fromX, fromY, kind) => picture.append(shape("path", { d: `M${fromX + WIDE - 18} ${fromY + 13}C${x - 4} ${fromY + 13} ${fromX + WIDE - 8} ${y + 13} ${x} ${y + 13}`, class: `edge ${kind}` }));
  const box = (x, y, token, kind, mark) => {
    const text = (word(token) || `⟨${token}⟩`).replaceAll("\n", "↵").replace(/^ +$/, (blanks) => "␣".repeat(blanks.length));
    picture.append(shape("g", { class: `node ${kind}`, transform: `translate(${x} ${y + 2})` }, shape("title", {}, `${text}: ${TOLD[kind]}`),
      shape("rect", { width: WIDE - 18, height: ROW - 5, rx: 5 }), shape("text", { x: 7, y: 15 }, `${mark} `, shape("tspan", {}, cut(text.trim() || text, 11)))));
  };
  const kind = (node) => { const place = walk.indexOf(node); return !node ? "root" : place < 0 ? "fell" : place > stood ? "late" : "stood"; };
  const MARKS = { root: "●", stood: "✓", fell: "≠", late: "·" };
  tokens.forEach((_, node) => { const parent = parents[node]; if (parent >= 0) edge(depth[node] * WIDE, row[node] * ROW, depth[parent] * WIDE, row[parent] * ROW, kind(node) === "root" ? "stood" : kind(node)); });
  if (next !== null) edge(last.x, last.y, depth[end] * WIDE, row[end] * ROW, "stood");
  tokens.forEach((token, node) => box(depth[node] * WIDE, row[node] * ROW, token, kind(node), MARKS[kind(node)]));
  if (next !== null) box(last.x, last.y, next, "next", "→");
  return picture;
}
const TOLD = { root: "said before, certain", stood: "a guess that stood", fell: "a rejected guess", late: "a right guess behind the end of the answer, not needed", next: "said by the model itself, after the guesses that stood" };
