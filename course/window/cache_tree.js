// The radix tree of the prefix cache: a text in a line, what begins alike below it.
const BRANCHES = 60;

function drawCache(run, state, at, word, picked) {
  const owners = ownersOf(state.seats), below = new Map(), left = { count: BRANCHES };
  for (const [block, held] of state.cache) {
    const above = state.cache.has(held.parent) ? held.parent : 0;
    below.has(above) ? below.get(above).push(block) : below.set(above, [block]);
  }
  const view = { run, state, at, word, picked, owners, below, left };
  $("tree").replaceChildren(...branches(view, 0));
  const locked = [...state.cache.keys()].filter((block) => owners.has(block)).length;
  $("cached").textContent = state.cache.size
    ? `${several(state.cache.size, "block")} kept: ${locked} are being read, so they are locked; ${state.cache.size - locked} could be evicted.`
    : "Nothing is kept yet: a prompt is stored once it has been read.";
}

function branches(view, above) {
  return (view.below.get(above) ?? []).map((block) => branch(view, block)).filter(Boolean);
}

function branch(view, block) { // the blocks that follow each other without a fork, in one line
  if (view.left.count-- <= 0) return view.left.count === -1 ? element("li", { textContent: "…" }) : null;
  const { state, owners, below } = view, read = (one) => (owners.get(one) ?? []).join(" "), stretch = [block];
  for (let next = below.get(block); next?.length === 1 && read(next[0]) === read(block); next = below.get(next[0])) stretch.push(next[0]);
  const end = stretch[stretch.length - 1], held = state.cache.get(block), readers = owners.get(block) ?? [], size = view.run.size;
  const text = view.run.tokens(held.id, held.at * size, (held.at + stretch.length) * size).map(view.word).join("").replaceAll("\n", "↵ ");
  const idle = view.at - Math.max(...stretch.map((one) => state.cache.get(one).used));
  const line = element("li", { className: readers.includes(view.picked) ? "picked" : "" },
    element("code", { textContent: text.length > 70 ? `${text.slice(0, 40).replace(/\s\S*$/, "")} … ${text.slice(-24).replace(/^\S*\s/, "")}` : text || "(read before anybody looked)" }), " ",
    element("small", { textContent: `${several(stretch.length, "block")}: ${cut(stretch.join(" "), 40)} · ` }),
    readers.length ? element("small", { className: "locked", textContent: `locked, read by ${cut(all(readers), 30)}` })
      : element("small", { textContent: idle ? `matched or stored ${several(idle, "step")} ago` : "matched or stored now" }));
  const further = branches(view, end);
  if (further.length) line.append(element("ul", {}, ...further));
  return line;
}
