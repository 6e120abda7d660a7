// In words: this step, the requests of it, and everything of the one that was picked.
const FEW = 8;
const all = (ids) => ids.map(who).join(", ");

function tellStep(run, state, step, word, at) {
  const chunks = step.c ?? [], tokens = tokensOf(step), lines = [], say = (kind, mark, text) => lines.push([kind, mark, text]);
  $("now").textContent = step.l ? `Call ${at + 1} of ${run.steps.length}; ${step.v} of ${run.blocks - 1} blocks are free.`
    : `Step ${step.n}: ${several(tokens, "token")} of ${several(chunks.length, "request")}. After it ${step.r} run, ${step.w} wait, and ${step.v} of ${run.blocks - 1} blocks are free.`;
  $("h-events").textContent = step.l ? "Call by call" : "In this step";
  if (step.l) run.steps.slice(Math.max(0, at - FEW), at + FEW).forEach(({ n, l: [call, answer, kind] }) => say(n === step.n ? kind ?? "now" : "then", n === step.n ? "▶" : "", answer ? `${call}  →  ${answer}` : call));
  if (step.p) say("bad", "✕", `Preempted: ${several(step.p.length, "request").replace(/^\d+ /, "")} ${all(step.p)}. Blocks were lacking, so its own went back to the pool (red frames); what others read stays with them (red dots). It waits, and is computed again later.`);
  const borrowed = Map.groupBy((step.h ?? []).filter((each) => each[1]), (each) => each[1]);
  for (const [count, each] of borrowed) say("good", "⇉", `${each.length > 1 ? "Requests" : "Request"} ${all(each.map(([id]) => id))} came in with ${several(count, "token")} of KV borrowed, which others computed: those blocks are shared now (striped, with the number of readers).`);
  if (step.k) say("", "↗", `Copied before writing: ${step.k.slice(0, FEW).map(([a, b]) => `block ${a} to ${b}`).join(", ")}. Somebody else reads the first, so the writer got its own (arrow).`);
  const out = (step.x ?? []).filter((each) => each.length === 1).flatMap((each) => each[0]);
  if (out.length) say("", "♻", `Evicted from the prefix cache, least recently used first: ${several(out.length, "block")} (${cut(out.join(" "), 40)}).`);
  const kept = (step.x ?? []).filter((each) => each.length > 1).reduce((sum, each) => sum + each[3].length, 0);
  if (kept) say("", "◤", `The prefix cache keeps ${several(kept, "more block")}, for whoever begins alike.`);
  const reads = chunks.filter((chunk) => chunk[2] > 1 || !chunk[3]);
  for (const [id, start, length, samples] of reads.slice(0, FEW)) say("", "■", `Request ${who(id)} reads tokens ${start} to ${start + length - 1}${samples ? " and says its next one" : ": a chunk of its prompt"}.`);
  if (reads.length > FEW) say("", "■", `${reads.length - FEW} more read.`);
  const says = chunks.length - reads.length;
  if (says) say("", "▬", `${several(says, "request")} ${says === 1 ? "says its" : "say their"} next token.`);
  const lucky = (step.e ?? []).filter((each) => each[1].length > 1);
  for (const [id, said] of lucky.slice(0, FEW)) say("good", "✓", `Request ${who(id)} says ${several(said.length, "token")} at once, since guesses stood: “${said.map(word).join("")}”.`);
  if (step.f) say("", "▌", `Finished: ${all(step.f)}.`);
  if (step.a) say("bad", "✕", `${step.l ? "Gone" : "Aborted"}: ${all(step.a)}.`);
  $("events").replaceChildren(...lines.map(([kind, mark, text]) => element("li", { className: kind }, element("b", { textContent: mark, ariaHidden: "true" }), element("span", { textContent: text }))));
  tellBudget(run, chunks, tokens, (step.g ?? []).reduce((sum, [, carried]) => sum + carried.length - 1, 0));
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
  $("requests").replaceChildren(...rows);
}

function tellRequest(run, state, at, word, picked) {
  $("one").hidden = picked === null;
  if (picked === null) return;
  const one = state.seats.get(picked), said = run.saidUntil(picked, at), prompt = run.text(picked).prompt, borrowed = one?.cached ?? 0;
  $("h-one").textContent = `Request ${who(picked)}`;
  $("facts").textContent = one
    ? `${one.computed} tokens have KV, ${borrowed} of them were borrowed (underlined); ${said.length} said${one.preempted ? `; preempted ${one.preempted}×` : ""}.`
    : `It is not here in this step; ${said.length} tokens were said so far.`;
  const owners = ownersOf(state.seats);
  $("table").replaceChildren("Block table: ", ...(one?.table ?? []).map((block) => {
    const chip = element("span", { className: "chip", textContent: owners.get(block).length > 1 ? `${block} ×${owners.get(block).length}` : block });
    chip.style.borderColor = hue(picked); return chip;
  }), one?.table.length ? "" : "empty");
  $("words").replaceChildren(
    element("u", { textContent: prompt.slice(0, borrowed).map(word).join("") }),
    element("span", { textContent: prompt.slice(borrowed).map(word).join("") }),
    element("b", { textContent: said.map(word).join("") }));
}
