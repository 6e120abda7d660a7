// In words: this step, the requests of it, and everything of the one that was picked.
const FEW = 8;
const all = (ids) => ids.map(who).join(", ");

function tellStep(run, state, step, before, at) {
  const chunks = step.c ?? [], tokens = tokensOf(step), lines = [], say = (kind, mark, text) => lines.push([kind, mark, text]);
  $("now").textContent = step.l ? `Call ${at + 1} of ${run.steps.length}; ${step.v} of ${run.blocks - 1} blocks are free.`
    : `Step ${step.n}: ${several(tokens, "token")} computed for ${several(chunks.length, "request")}. After it ${step.r} run, ${step.w} wait, and ${step.v} of ${run.blocks - 1} blocks are free${places.freed.size ? `, ${places.freed.size} of them given back at its end (dashed)` : ""}.`;
  $("events").className = step.l ? "" : "still";
  $("h-events").textContent = step.l ? "Call by call" : "In this step";
  if (step.l) run.steps.slice(Math.max(0, at - FEW), at + FEW).forEach(({ n, l: [call, answer, kind] }) => say(n === step.n ? kind ?? "now" : "then", n === step.n ? "▶" : "", answer ? `${call}  →  ${answer}` : call));
  if (step.p) say("bad", "✕", tellPreempted(run, state, step, before, at));
  for (const line of tellBorrowed(run, state, step)) say("good", "⇉", line);
  if (step.k) say("", "↗", `Copied before writing: ${step.k.slice(0, FEW).map(([a, b]) => `block ${a} to ${b}`).join(", ")}. Somebody else reads the first, so the writer got its own (arrow).`);
  const out = (step.x ?? []).filter((each) => each.length === 1).flatMap((each) => each[0]);
  if (out.length) say("", "♻", `Evicted from the prefix cache: ${several(out.length, "block")} (${cut(out.join(" "), 40)}; a bar below). Ends of kept texts that nobody reads go first, and of those the least recently used.`);
  const kept = (step.x ?? []).filter((each) => each.length > 1).reduce((sum, each) => sum + each[3].length, 0);
  if (kept) say("", "◤", `The prefix cache keeps ${several(kept, "more block")}, for whoever begins alike.`);
  const carried = new Set((step.g ?? []).map(([id]) => id)), reads = chunks.filter((chunk) => !carried.has(chunk[0]) && (chunk[2] > 1 || !chunk[3]));
  for (const [id, start, length, samples] of reads.slice(0, FEW)) say("", "■", `Request ${who(id)} reads tokens ${start} to ${start + length - 1}${samples ? " and says its next one" : ": a chunk of its prompt"}.`);
  if (reads.length > FEW) say("", "■", `${reads.length - FEW} more read.`);
  const lucky = (step.e ?? []).filter((each) => each[1].length > 1), fallen = (step.e ?? []).filter(([id, said]) => carried.has(id) && said.length === 1 && !stoodOf(step, id)).map(([id]) => id);
  const says = chunks.length - reads.length - lucky.length - fallen.length;
  for (const [id, said] of lucky.slice(0, FEW)) say("good", "✓", `Request ${who(id)} says ${several(said.length, "token")} at once, ${several(stoodOf(step, id), "guess", "guesses")} of them: “${said.map(spoken).join("")}”.`);
  if (lucky.length > FEW) say("good", "✓", `${lucky.length - FEW} more say several tokens at once.`);
  if (fallen.length) say("bad", "≠", `Of the guesses for ${all(fallen)} none stood (dashed red): ${fallen.length > 1 ? "each says its" : "it says its"} own next token.`);
  if (says > 0) say("", "▬", `${several(says, lucky.length || fallen.length ? "other request" : "request")} ${says === 1 ? "says its" : "say their"} next token.`);
  if (step.f) say("", "▌", `Finished: ${all(step.f)}.`);
  if (step.a) say("bad", "✕", `${step.l ? "Gone" : "Aborted"}: ${all(step.a)}.`);
  $("events").replaceChildren(...lines.map(([kind, mark, text]) => element("li", { className: kind }, element("b", { textContent: mark, ariaHidden: "true" }), element("span", { textContent: text }))));
  tellBudget(run, chunks, tokens, (step.g ?? []).reduce((sum, [, carried]) => sum + carried.length - 1, 0));
}

function tellPreempted(run, state, step, before, at) {
  const [needed, free, idle] = run.lack(at), given = [...givenUp(step, before)], count = (test) => given.filter(test).length;
  const many = step.p.length > 1, kept = count(([block, read]) => !read && before.cache.has(block)), read = count(([, others]) => others);
  const parts = [[given.length - kept - read, "went back to the pool (red frames)"], [kept, "stayed in the prefix cache (red frame and corner)"], [read, "stayed with others who read them (red dots)"]];
  return `Preempted: request${many ? "s" : ""} ${all(step.p)}. `
    + (needed ? `To go on, all who ran, the preempted with them, needed ${needed} more block${needed === 1 ? "" : "s"}, and ${free} ${free === 1 ? "was" : "were"} free${idle ? ` (${idle} more idle in the prefix cache)` : ""}. ` : "")
    + `Of ${many ? "their" : "its"} ${several(given.length, "block")} ${parts.filter(([blocks]) => blocks).map(([blocks, became]) => `${blocks} ${became}`).join(", ") || "none was held"}. ${many ? "They wait, and are" : "It waits, and is"} computed again later.`;
}

function tellBorrowed(run, state, step) { // those who came in alike in a line
  const owners = ownersOf(state.seats), alike = new Map();
  for (const [id, count] of step.h ?? []) {
    if (!count) continue;
    const blocks = (state.seats.get(id)?.table ?? []).slice(0, Math.ceil(count / run.size)), shared = blocks.filter((block) => owners.get(block).length > 1).length;
    const came = `came in with ${several(count, "token")} of KV that was there already: ${shared} of ${several(blocks.length, "block")} are shared now (striped, with the number of readers)${shared < blocks.length ? `, ${blocks.length - shared} nobody else reads` : ""}.`;
    alike.set(came, [...(alike.get(came) ?? []), id]);
  }
  return [...alike].map(([came, ids]) => `Request${ids.length > 1 ? "s" : ""} ${all(ids)} ${came}`);
}

function tellBudget(run, chunks, tokens, guesses) {
  const whole = run.budget || run.busiest;
  $("budget").replaceChildren(...chunks.map(([id, , length]) => {
    const piece = element("i", { title: `Request ${who(id)}: ${several(length, "token")}` });
    piece.style.width = `${100 * length / Math.max(whole, tokens)}%`; piece.style.background = hue(id);
    return piece;
  }));
  $("spent").textContent = (run.budget ? `${tokens} of the ${run.budget} tokens that a step may compute` : `${tokens} tokens; the busiest step has ${run.busiest}`)
    + (guesses ? `, and ${guesses} guess${guesses === 1 ? "" : "es"} verified beside them` : "");
}

function listRequests(state, picked) {
  const rows = [...state.seats].sort((a, b) => a[0] - b[0]).slice(0, 96).map(([id, one]) => {
    const row = element("button", { className: "request", tabIndex: -1 }, `${who(id)}${run.steps[at].l ? "" : !one.running ? " · waits again" : run.steps[at].f?.includes(id) ? " · ends in this step" : " · running"}`,
      element("small", { textContent: `${several(one.computed, "token")} in ${several(one.table.length, "block")}${one.preempted ? `, preempted ${one.preempted}×` : ""}` }));
    row.setAttribute("role", "option"); row.setAttribute("aria-selected", id === picked); row.dataset.id = id;
    row.style.borderLeftColor = hue(id);
    return row;
  });
  const unseen = run.steps[at].w - [...state.seats.values()].filter((one) => !one.running).length;
  if (unseen > 0) rows.push(element("p", { className: "key", textContent: `${unseen} more wait${unseen === 1 ? "s" : ""}, without blocks.` }));
  $("requests").replaceChildren(...rows);
}

function tellRequest(run, state, at, word, picked) {
  $("one").hidden = picked === null;
  if (picked === null) return;
  const one = state.seats.get(picked), said = run.saidUntil(picked, at), prompt = run.text(picked).prompt, borrowed = one?.cached ?? 0;
  $("h-one").textContent = `Request ${who(picked)}`;
  $("facts").textContent = one
    ? `${one.computed} tokens have KV, ${borrowed} of them were borrowed (underlined); ${said.length} said${one.preempted ? `; preempted ${one.preempted}×` : ""}.`
    : said.length ? `It is over; it said ${several(said.length, "token")}.` : "It holds no blocks: it waits, or has not come yet.";
  const owners = ownersOf(state.seats);
  $("table").replaceChildren("Block table: ", ...(one?.table ?? []).map((block) => {
    const chip = element("span", { className: "chip", textContent: owners.get(block).length > 1 ? `${block} ×${owners.get(block).length}` : block });
    chip.style.borderColor = hue(picked); return chip;
  }), one?.table.length ? "" : "empty");
  $("words").replaceChildren(
    element("u", { textContent: prompt.slice(0, borrowed).map(word).join("") }),
    element("span", { textContent: prompt.slice(borrowed).map(word).join("") }),
    element("b", { textContent: said.map(spoken).join("") }));
  $("words").scrollTop = $("words").scrollHeight; // the answer
}
