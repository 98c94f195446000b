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

// asker sends one question at a time: a new one ends the one before, and so does stop.
function asker() {
  let running;
  const ask = async (url, fields) => {
    running?.abort();
    running = new AbortController();
    try {
      const answer = await post(url, fields, { signal: running.signal });
      return answer.ok ? await answer.text() : '';
    } catch {
      return '';
    }
  };
  ask.stop = () => running?.abort();
  return ask;
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

// A rule: builder and text stay in step, and the rows that match are counted. A newer question ends the one before.
for (const group of document.querySelectorAll('form[data-rule]')) {
  const builder = group.querySelector('.builder');
  const text = group.querySelector('textarea[name="rule"]');
  const source = group.querySelector('input[name="source"]');
  const count = group.querySelector('.count-box');
  const ask = asker();
  const counting = group.querySelector('.counting');
  const stop = counting.querySelector('[data-stop]');
  let questions = 0;
  let shown;
  const from = () => group.querySelector('[data-from]:checked')?.value ?? 'rule';
  const show = () => {
    for (const part of group.querySelectorAll(':scope > [data-when]')) {
      part.hidden = part.dataset.when !== from();
    }
  };
  const send = async (redraw) => {
    const fields = new FormData(group);
    if (redraw) {
      fields.set('redraw', '1');
    }
    count.classList.add('waiting');
    const mine = ++questions;
    clearTimeout(shown);
    shown = setTimeout(() => { counting.hidden = false; }, pause);
    const answer = await ask(group.dataset.rule, fields);
    if (mine !== questions) {
      return; // a newer one is under way, or it was stopped
    }
    clearTimeout(shown);
    counting.hidden = true;
    count.classList.remove('waiting');
    if (!answer) {
      return;
    }
    const news = JSON.parse(answer);
    if (source.value === 'builder' && text.value !== news.expr) {
      text.value = news.expr;
    }
    if (news.builder) {
      const held = document.activeElement?.id;
      builder.innerHTML = news.builder;
      document.getElementById(held)?.focus();
    }
    count.innerHTML = news.count;
    for (const row of builder.querySelectorAll('[data-row]')) {
      row.textContent = news.rows?.[row.dataset.row] ?? '';
    }
  };
  stop.addEventListener('click', () => {
    questions++;
    ask.stop();
    clearTimeout(shown);
    counting.hidden = true;
    count.classList.remove('waiting');
    count.textContent = stop.dataset.stop;
    text.focus();
  });
  const soon = later(send, pause);
  text.addEventListener('input', () => {
    source.value = 'text';
    soon(false);
  });
  builder.addEventListener('input', (event) => {
    source.value = 'builder';
    soon(Boolean(event.target.closest('[data-redraw]')));
  });
  for (const radio of group.querySelectorAll('[data-from]')) {
    radio.addEventListener('change', show);
  }
  show();
  const details = group.closest('details');
  const first = () => {
    if (details.open && text.value && !count.childElementCount) {
      source.value ||= 'text';
      send(false);
    }
  };
  details?.addEventListener('toggle', first);
  if (details?.open) {
    first(); // it came open from the server, before anybody listened
  }
}
