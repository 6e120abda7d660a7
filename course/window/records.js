// What came in, and the state of an engine in the midst of any step. A frame is described in frames.py.
const KEY = 64; // steps between two states that are kept

class Run {
  constructor(about) {
    Object.assign(this, about); // name, blocks, size, budget, steps
    this.keys = []; this.texts = new Map(); this.parents = [];
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
    if (step.g?.some(([, tokens, walk]) => walk.length < tokens.length && walk.length > 1)) this.found.guessed.push(i);
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

  before(place) { // the tables that a step found
    if (!place) return new Map();
    const state = this.stateAt(place - 1); leave(state, this.steps[place - 1]);
    return state.seats;
  }
}

const copied = (state) => ({ seats: new Map(state.seats), cache: new Map(state.cache) });
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

function leave(state, step) { for (const id of step.f ?? []) state.seats.delete(id); }

function ownersOf(seats) { // block -> the requests whose tables list it
  const owners = new Map();
  for (const [id, one] of seats) for (const block of one.table) owners.has(block) ? owners.get(block).push(id) : owners.set(block, [id]);
  return owners;
}
