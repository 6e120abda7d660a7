"""The page of the overview: one file, nothing fetched, one script of our own; for screens, phones
and paper.

The script sorts and filters tables that are complete without it. Nothing of a student's is ever
made into script. Of a large class only what is in sight is laid out: a row is a grid of its own
with columns of known width, so that none has to wait for the others.
"""

from __future__ import annotations

SCRIPT = """
"use strict";
const all = (query, under) => [...(under || document).querySelectorAll(query)];
const { compare } = new Intl.Collator(undefined, { numeric: true });
const outcomes = all("#outcome option").map((option) => option.value);
const key = (cell) =>
  cell.classList.contains("law") ? outcomes.indexOf(cell.classList[1]) : cell.dataset.sort ?? cell.textContent;
function sort(head) {
  const body = head.closest("table").tBodies[0], up = head.ariaSort !== "ascending";
  const rows = [...body.rows].map((row) => [key(row.cells[head.cellIndex]), row]);
  rows.sort((a, b) => (up ? 1 : -1) * compare(a[0], b[0]));
  body.replaceChildren(...rows.map((each) => each[1]));
  all("th", head.closest("thead")).forEach((other) => (other.ariaSort = "none"));
  head.ariaSort = up ? "ascending" : "descending";
}
function filter() {
  const [who, law, outcome] = ["who", "law", "outcome"].map((id) => document.getElementById(id).value);
  let shown = 0;
  for (const table of all("table.class")) {
    const heads = [...table.tHead.rows[0].cells].map((head) => !law || head.textContent.trim() === law);
    const fits = (cell) => heads[cell.cellIndex] && (!outcome || cell.classList.contains(outcome));
    for (const row of table.tBodies[0].rows) {
      const named = row.textContent.toLowerCase().includes(who.toLowerCase());
      row.hidden = !named || ((law || outcome) && !all("td.law", row).some(fits));
      shown += !row.hidden;
    }
  }
  document.getElementById("shown").textContent = shown + " rows shown";
}
all("table.class thead th").forEach((head) => head.querySelector("button").addEventListener("click", () => sort(head)));
all("#who, #law, #outcome").forEach((field) => field.addEventListener("input", filter));
const open = () => document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
addEventListener("hashchange", open);
document.getElementById("tools").hidden = false;
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{{ digest }}'">
<title>Inference kitchen · {{ students }} students</title>
<style>
:root { color-scheme: light dark; --line: #8884; --pass: #2a9d5c66; --fail: #d1495b88; --other: #e0a03088;
  --none: #8883; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; max-width: 100%; }
th, td { border: 1px solid var(--line); padding: .15rem .4rem; text-align: left; vertical-align: top; }
table.class { --who: 12rem; display: block; min-width: calc(var(--who) + 30rem + var(--laws) * 1.5rem);
  border: solid var(--line); border-width: 1px 0 0 1px; }
table.class thead, table.class tbody { display: block; }
table.class tr { display: grid; content-visibility: auto; contain-intrinsic-height: auto 1.7rem;
  grid-template-columns: var(--who) 6rem var(--columns) minmax(12rem, 1fr); }
table.class thead tr { content-visibility: visible; } table.class tr[hidden] { display: none; }
table.class th, table.class td { border-width: 0 1px 1px 0; }
th.law { padding: .4rem .15rem; } th.law button { writing-mode: vertical-rl; }
thead button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th[aria-sort=ascending]::after { content: "▲"; } th[aria-sort=descending]::after { content: "▼"; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.law { padding: .15rem 0; text-align: center; } td.law a { color: inherit; display: block; text-decoration: none; }
.pass { background: var(--pass); } .fail, .crash, .timeout, .invalid { background: var(--fail); }
.ungraded { background: var(--other); } .skipped { background: var(--none); }
th.who { overflow-wrap: anywhere; position: sticky; left: 0; background: Canvas; }
td.know { overflow-wrap: anywhere; min-width: 12rem; }
.bar { display: inline-block; height: .8rem; background: var(--fail); max-width: 40vw; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0 1rem; }
details { content-visibility: auto; contain-intrinsic-height: auto 1.5rem; }
svg { width: 100%; max-width: 40rem; height: auto; } svg rect { fill: #2a9d5c; } svg text { fill: currentColor; }
svg line { stroke: #d1495b; stroke-width: 1.5; }
.key span { display: inline-block; padding: 0 .5rem; margin-right: .4rem; }
#tools input, #tools select { font: inherit; max-width: 100%; margin: 0 .5rem .3rem 0; }
@media (max-width: 30rem) { body { margin: .5rem auto; padding: 0 .5rem; } table.class { --who: 7rem; } }
@media print { #tools, .stories { display: none; } :root, body { font-size: 10px; } body { margin: 0; max-width: none; }
  * { print-color-adjust: exact; } tr { break-inside: avoid; } .wide { overflow: visible; }
  table.class tr { content-visibility: visible; } }
</style>
</head>
<body>
<h1>{{ students }} students, {{ rows | length }} parts, {{ passed }} right</h1>
<p>{% for state, count in states %}{{ count }} {{ state }}{{ ", " if not loop.last }}{% endfor %}.
Points of parts that could not be judged are not counted as zero.</p>
{% if absent %}<p>Nothing of {{ absent | length }}: {{ absent | join(", ") }}.</p>{% endif %}
{% if late %}<p>Late, {{ late | length }}:
{% for each in late %}{{ each.student }} ({{ each.days }} days){{ ", " if not loop.last }}{% endfor %}.</p>{% endif %}

<h2>Who holds which law</h2>
<p class="key">{% for outcome, symbol in symbols.items() %}<span class="{{ outcome }}">{{ symbol }} {{ outcome }}</span>
{% endfor %}A cell's tip says why; a broken law leads to its story.</p>
<p id="tools" hidden><input id="who" type="search" placeholder="name or text" aria-label="name or text" />
<select id="law" aria-label="law"><option value="">any law</option>
{%- for title in titles %}<option>{{ title }}</option>{% endfor %}</select
><select id="outcome" aria-label="outcome"><option value="">any outcome</option>
{%- for outcome in symbols %}<option>{{ outcome }}</option>{% endfor %}</select><span id="shown"></span></p>
{% for table in tables %}
<h3>{{ table.title | capitalize }}, {{ table.name }}</h3>
<div class="wide"><table class="class" style="--laws: {{ table.laws | length }}; --columns:
{%- if table.laws %} repeat({{ table.laws | length }}, 1.5rem){% endif %} 8rem{% if late %} 4rem{% endif %}">
<thead><tr><th><button>student</button></th><th><button>points</button></th>{% for law in table.laws %}
<th class="law" title="{{ law.statement }}"><button>{{ law.title }}</button></th>{% endfor %}
<th><button>state</button></th>
{%- if late %}<th><button>days late</button></th>{% endif %}<th><button>what to know</button></th></tr></thead>
<tbody>{% for row in table.rows %}
<tr><th class="who" scope="row">{{ row.student }}</th><td class="n" data-sort="{{ row.points }}">{{ row.score }}</td>
{%- for cell in row.cells %}<td class="law {{ cell.outcome }}"{% if cell.tip %} title="{{ cell.tip }}"{% endif %}>
{%- if cell.story %}<a href="#{{ cell.story }}" aria-label="{{ cell.outcome }}">{{ symbols[cell.outcome] }}</a>
{%- else %}{{ symbols[cell.outcome] }}{% endif %}</td>{% endfor -%}
<td>{{ row.state }}</td>
{%- if late %}<td class="n">{{ row.late }}</td>{% endif %}<td class="know">{{ row.verdict }}</td></tr>{% endfor %}
</tbody></table></div>
{% endfor %}

<h2>Which laws fail most</h2>
{% if hardest %}<div class="wide"><table>
<tr><th>law</th><th>broken by</th><th></th><th>most often because</th></tr>{% for law in hardest %}
<tr><td>{{ law.title }}</td><td class="n">{{ law.broken }} of {{ law.tried }}</td>
<td><span class="bar" style="width: {{ law.width }}rem"></span></td>
<td class="know">{% for reason in law.reasons %}<div>{{ reason.count }} × {{ reason.text }}</div>{% endfor %}</td></tr>
{%- endfor %}
</table></div>{% else %}<p>None: no law was broken.</p>{% endif %}

<h2>How fast the right parts are</h2>
{% for chart in charts %}
<h3>{{ chart.title }}</h3>
<p>{{ chart.count }} parts, median {{ chart.median }} times.
{%- if chart.bound %} The red line is the bound, {{ chart.bound }}.{% endif %}</p>
<svg viewBox="0 0 400 130" role="img" aria-label="{{ chart.title }}, distribution">{% for bar in chart.bars %}
<rect x="{{ bar.x }}" y="{{ bar.y }}" width="{{ bar.width }}" height="{{ bar.height }}">
<title>{{ bar.tip }}</title></rect>{% endfor %}
{%- if chart.bound %}<line x1="{{ chart.mark }}" x2="{{ chart.mark }}" y1="5" y2="110"></line>{% endif %}
<text x="10" y="125" font-size="10">{{ chart.low }}</text>
<text x="390" y="125" font-size="10" text-anchor="end">{{ chart.high }}</text></svg>
{% else %}<p>Nothing was measured.</p>{% endfor %}

<h2>Who handed in the same part</h2>
{% for group in same %}<p>{{ group.title | capitalize }}: {{ group.students | join(", ") }}.</p>
{% else %}<p>Nobody: no two parts are equal.</p>{% endfor %}
{% if similar %}<h3>Alike, names and order aside: for a person to look at</h3>
<ul>{% for each in similar %}
<li>{{ each.title | capitalize }}: {{ each.one }} and {{ each.other }}, {{ each.share }}</li>
{% endfor %}</ul>{% endif %}

<div class="stories"><h2>The stories</h2>
{% for story in stories %}
<details id="{{ story.id }}"><summary>{{ story.student }}: {{ story.title }}
{%- if story.where %}, {{ story.where }}{% endif %}</summary><pre>{{ story.text }}</pre></details>
{%- else %}<p>None: no law was broken.</p>{% endfor %}
</div>
<script>{{ script }}</script>
</body>
</html>
"""
