"""The page of the overview: one file, no scripts, nothing fetched, readable in the dark and on paper."""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Inference kitchen · {{ students }} students</title>
<style>
:root { color-scheme: light dark; --line: #8884; --pass: #2a9d5c; --fail: #d1495b; --other: #e0a030; --none: #8886; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.5rem; }
table { border-collapse: collapse; } .wide { overflow-x: auto; }
th, td { border: 1px solid var(--line); padding: .15rem .4rem; text-align: left; }
th.law { writing-mode: vertical-rl; font-weight: normal; padding: .4rem .15rem; }
td.n { text-align: right; font-variant-numeric: tabular-nums; }
td.pass { background: var(--pass); } td.fail, td.crash, td.timeout, td.invalid { background: var(--fail); }
td.ungraded { background: var(--other); } td.skipped { background: var(--none); }
td.law { min-width: .9rem; }
th.who { overflow-wrap: anywhere; max-width: 16rem; }
.bar { display: inline-block; height: .8rem; background: var(--fail); vertical-align: middle; }
.bar.skipped { background: var(--none); }
svg { width: 100%; max-width: 40rem; height: auto; } svg rect { fill: var(--pass); } svg text { fill: currentColor; }
.key span { display: inline-block; padding: 0 .5rem; margin-right: .4rem; }
</style>
</head>
<body>
<h1>{{ students }} students, {{ rows | length }} parts, {{ passed }} right</h1>
<p>{% for state, count in states %}{{ count }} {{ state }}{{ ", " if not loop.last }}{% endfor %}.
Points of parts that could not be judged are not counted as zero.</p>

<h2>Who holds which law</h2>
<p class="key">A cell's tip says why.</p>
{% for table in tables %}
<h3>Exercise {{ table.number }}, {{ table.name }}</h3>
<div class="wide"><table>
<thead><tr><th>student</th><th>points</th>{% for law in table.laws %}
<th class="law" title="{{ law.statement }}">{{ law.title }}</th>{% endfor %}<th>what to know</th></tr></thead>
<tbody>{% for row in table.rows %}
<tr><th class="who" scope="row">{{ row.student }}</th><td class="n">{{ row.score }}</td>
{%- for cell in row.cells %}<td class="law {{ cell.outcome }}" title="{{ cell.tip }}"></td>{% endfor -%}
<td>{{ row.verdict }}</td></tr>{% endfor %}
</tbody></table></div>
{% endfor %}

<h2>Which laws fail most</h2>
{% if hardest %}<table>
<tr><th>law</th><th>broken by</th><th></th></tr>{% for law in hardest %}
<tr><td>{{ law.title }}</td><td class="n">{{ law.broken }} of {{ law.tried }}</td>
<td><span class="bar" style="width: {{ law.width }}rem"></span></td></tr>{% endfor %}
</table>{% else %}<p>None: no law was broken.</p>{% endif %}

<h2>How fast the right parts are</h2>
{% for chart in charts %}
<h3>{{ chart.title }}</h3>
<p>{{ chart.count }} parts, median {{ chart.median }} times.</p>
<svg viewBox="0 0 400 130" role="img" aria-label="{{ chart.title }}, distribution">{% for bar in chart.bars %}
<rect x="{{ bar.x }}" y="{{ bar.y }}" width="{{ bar.width }}" height="{{ bar.height }}">
<title>{{ bar.tip }}</title></rect>{% endfor %}
<text x="10" y="125" font-size="10">{{ chart.low }}</text>
<text x="390" y="125" font-size="10" text-anchor="end">{{ chart.high }}</text></svg>
{% else %}<p>Nothing was measured.</p>{% endfor %}
</body>
</html>
"""
