// What came in, and the state of an engine in the midst of any step. A frame is described in frames.py.
const KEY = 64; // steps between two states that are kept

class Run {
  constructor(about) {
    Object.assign(this, about); // name, blocks, size, budget, steps
    this.keys = []; this.texts = new Map(); this.parents = []; this.ends = new Set(); // tokens with which answers ended
    this.found = { preempted: [], shared: [], copied: [], guessed: [], evicted: [] }; // the steps in which it happened
    this.most = 1; this.busiest = 1; this.index(0);
  }

  add(steps) { const from = this.steps.length; this.steps.push(...steps); this.index(from); }

  index(from) {
    let state = from ? this.after : { seats: new Map(), cache: new Map() };
    for (let i = from; i < this.steps.length; i++) {
      const step = this.steps[i];
      if (i % KEY === 0) this.keys.push(copied(state));
      this.note(step, i); apply(state, step, i, this.size); leave(state, step);
    }
    this.after = state;
  }

  note(step, i) {
    for (const [id, tokens] of step.s ?? []) if (!this.texts.has(id)) this.texts.set(id, { prompt: tokens, said: [], when: [] });
    for (const [id, tokens] of step.e ?? []) { const text = this.text(id); for (const token of tokens) { text.said.push(token); text.when.push(i); } }
    if (step.y) this.parents = step.y;
    if (step.p) this.found.preempted.push(i);
    if (step.h?.some((each) => each[1])) this.found.shared.push(i);
    if (step.k) this.found.copied.push(i);
    if (step.g?.some(([, tokens, walk]) => walk.length < tokens.length)) this.found.guessed.push(i);
    for (const id of step.f ?? []) if (this.text(id).said.length) this.ends.add(this.text(id).said.at(-1));
    if (step.x?.some((each) => each.length === 1)) this.found.evicted.push(i);
    this.most = Math.max(this.most, step.r, step.w);
    this.busiest = Math.max(this.busiest, tokensOf(step));
  }

  text(id) {
    if (!this.texts.has(id)) this.texts.set(id, { prompt: [], said: [], when: [] });
    return this.texts.get(id);
  }

  tokens(id, from, to) { const text = this.text(id); return text.prompt.concat(text.said).slice(from, to); }

  saidUntil(id, place) {
    const text = this.text(id);
    let count = text.when.findIndex((when) => when > place);
    return text.said.slice(0, count < 0 ? text.said.length : count);
  }

  stateAt(place) { // in the midst of a step: who finishes in it is still there
    const key = Math.floor(place / KEY), state = copied(this.keys[key]);
    for (let i = key * KEY; i <= place; i++) { apply(state, this.steps[i], i, this.size); if (i < place) leave(state, this.steps[i]); }
    return state;
  }

  before(place) { // the state that a step found
    if (!place) return { seats: new Map(), cache: new Map() };
    const state = this.stateAt(place - 1); leave(state, this.steps[place - 1]);
    for (const id of this.steps[place].a ?? []) state.seats.delete(id);
    return state;
  }

  lack(place) { // what those who ran before a step needed to go on: [blocks more, free ones, cached ones that nobody read]
    const { seats, cache } = this.before(place), owners = ownersOf(seats), guesses = Math.max(0, this.parents.length - 1);
    let needed = 0, free = 0, idle = 0;
    for (const [id, one] of seats) {
      const known = this.text(id).prompt.length + this.saidUntil(id, place - 1).length, most = one.computed + (this.budget || Infinity);
      if (one.running && known) needed += Math.max(0, Math.ceil(Math.min(known + guesses, most) / this.size) - one.table.length);
    }
    for (let block = 1; block < this.blocks; block++) if (!owners.has(block)) cache.has(block) ? idle++ : free++;
    return [needed, this.steps[place].a ? free : Math.min(free, this.steps[place - 1]?.v ?? free), idle];
  }
}

const copied = (state) => ({ seats: new Map(state.seats), cache: new Map(state.cache) });
// Guesses of a request that became part of its answer: it says as many tokens and one more, unless it ends with a guess.
function stoodOf(step, id) {
  const said = step.e?.find(([one]) => one === id)?.[1].length ?? Infinity, tree = step.g?.find(([one]) => one === id);
  return tree ? Math.min(tree[2].length - 1, said) : said === Infinity ? 0 : said - 1;
}

const tokensOf = (step) => (step.c ?? []).reduce((sum, chunk) => sum + chunk[2], 0);

function apply(state, step, i, size) {
  const own = new Map(); // copied once a step: states share what did not change
  const known = (id) => {
    let one = own.get(id);
    if (!one) {
      one = { table: [], computed: 0, cached: 0, preempted: 0, running: false, ...state.seats.get(id) };
      own.set(id, one); state.seats.set(id, one);
    }
    return one;
  };
  for (const id of step.a ?? []) { state.seats.delete(id); own.delete(id); }
  for (const id of step.p ?? []) { const one = known(id); one.table = []; one.computed = one.cached = 0; one.running = false; one.preempted++; }
  for (const [id, kept, more] of step.t ?? []) { const one = known(id); one.table = one.table.slice(0, kept).concat(more); one.running = true; }
  for (const [id, count] of step.h ?? []) {
    const one = known(id); one.cached = count;
    for (const block of one.table.slice(0, Math.ceil(count / size))) if (state.cache.has(block)) state.cache.set(block, { ...state.cache.get(block), used: i });
  }
  for (const [id, start, length] of step.c ?? []) { const one = known(id); one.computed = start + length; one.running = true; }
  for (const [id, count] of step.m ?? []) known(id).computed = count;
  for (const [id, tokens] of step.e ?? []) if (tokens.length > 1) known(id).computed += tokens.length - 1;
  for (const change of step.x ?? []) {
    if (change.length === 1) { for (const block of change[0]) state.cache.delete(block); continue; }
    const [id, first, parent, blocks] = change;
    blocks.forEach((block, k) => state.cache.set(block, { id, at: first + k, parent: k ? blocks[k - 1] : parent, used: i }));
  }
}

function leave(state, step) { // the end of a step: guesses give their blocks back, and who has finished goes
  for (const [id, left] of step.b ?? []) { const one = state.seats.get(id); if (one) state.seats.set(id, { ...one, table: one.table.slice(0, left) }); }
  for (const id of step.f ?? []) state.seats.delete(id);
}

// The blocks in the midst of a step. freed: read by somebody, and free at its end. aside: free to look at, though not by
// the part's own count: it has set them aside (which of them, only the part knows). free: all others of nobody.
function poolOf(run, state, step) {
  const after = { seats: new Map(state.seats) }, owners = ownersOf(state.seats), freed = new Set(), nobody = [];
  leave(after, step);
  const readers = ownersOf(after.seats);
  for (let block = 1; block < run.blocks; block++) {
    if (readers.has(block) || state.cache.has(block)) continue;
    if (owners.has(block)) freed.add(block); else nobody.push(block);
  }
  const free = Math.max(0, Math.min(nobody.length, step.v - freed.size));
  return { owners, freed, free: new Set(nobody.slice(0, free)), aside: new Set(nobody.slice(free)) };
}

function ownersOf(seats) { // block -> the requests whose tables list it
  const owners = new Map();
  for (const [id, one] of seats) for (const block of one.table) owners.has(block) ? owners.get(block).push(id) : owners.set(block, [id]);
  return owners;
}
