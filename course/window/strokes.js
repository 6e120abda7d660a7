// What everything is drawn with.
const $ = (id) => document.getElementById(id);
const hue = (id) => `hsl(${25 + ((id * 137.508 + 185) % 360) * 5 / 6} 62% ${[58, 46, 68][id % 3]}%)`; // no red: that is a preemption's
let colours = {}; // asked for once: each question to the style sheet is a layout
const css = (name) => (colours[name] ??= getComputedStyle(document.documentElement).getPropertyValue(name).trim());

function element(tag, told = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(told)) name in made ? (made[name] = value) : made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function shape(tag, told, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(told)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function fit(canvas, height) { // sharp on every screen; a pen, and the width in pixels of the style sheet
  const ratio = devicePixelRatio || 1, width = canvas.clientWidth || 300;
  const wide = Math.round(width * ratio), high = Math.round(height * ratio), pen = canvas.getContext("2d");
  if (canvas.width !== wide || canvas.height !== high) { // a new size is a new picture, and costs as much
    canvas.width = wide; canvas.height = high; canvas.style.height = `${height}px`;
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0); pen.clearRect(0, 0, width + 1, height + 1);
  return [pen, width];
}

const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const several = (count, noun, plural = `${noun}s`) => `${count} ${count === 1 ? noun : plural}`;
