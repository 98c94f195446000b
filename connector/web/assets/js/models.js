// The mapping checks itself while somebody types, expressions show what they give, and rules are counted.
import { post, later } from './base.js';

const pause = 300;

// spread puts the templates of an answer where they belong.
function spread(text) {
  const box = document.createElement('div');
  box.innerHTML = text;
  for (const part of box.querySelectorAll('template[data-to]')) {
    const place = document.getElementById(part.dataset.to);
    if (place && place.innerHTML !== part.innerHTML) {
      place.replaceChildren(part.content.cloneNode(true));
    }
  }
}

// asker sends one question at a time: a new one ends the one before.
function asker() {
  let running;
  return async (url, fields) => {
    running?.abort();
    running = new AbortController();
    try {
      const answer = await post(url, fields, { signal: running.signal });
      return answer.ok ? await answer.text() : '';
    } catch {
      return '';
    }
  };
}

// kinds shows only the inputs that fit where a value comes from.
function kinds(select) {
  const line = select.closest('.line-from');
  for (const part of line?.querySelectorAll('[data-when]') ?? []) {
    part.classList.toggle('later', part.dataset.when !== select.value);
  }
}

const form = document.getElementById('fields');
if (form?.dataset.check) {
  const ask = asker();
  const check = later(async () => {
    const fields = new FormData(form);
    spread(await ask(form.dataset.check, fields));
  }, pause);
  form.addEventListener('input', check);
  for (const control of document.querySelectorAll('[form="fields"]')) {
    control.addEventListener('change', check);
  }
  for (const select of form.querySelectorAll('[data-kind]')) {
    select.addEventListener('change', () => kinds(select));
  }
}

// Expressions show beside them what they give for some rows.
const trying = asker();
for (const input of document.querySelectorAll('#fields [data-expr]')) {
  const out = document.createElement('div');
  out.className = 'tried';
  out.setAttribute('role', 'status');
  input.after(out);
  const show = later(async () => {
    const expr = input.value.trim();
    if (!expr) {
      out.replaceChildren();
      return;
    }
    const text = await trying(form.dataset.try, { expr });
    const box = document.createElement('div');
    box.innerHTML = text;
    for (const part of box.querySelectorAll('template')) {
      part.remove();
    }
    out.replaceChildren(...box.childNodes);
  }, pause);
  input.addEventListener('input', show);
}
