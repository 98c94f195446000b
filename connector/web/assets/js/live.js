// The page Live: figures once a second and charts every five, over one stream that is closed while nobody can see the page. Where a stream is not to be had
// the page asks every five seconds. Updates can be paused, and then nothing moves, whatever happens.

const root = document.getElementById('live');
const pollEvery = 5000;
const silentAfter = 40000; // the server says something every 15 seconds at least
const sayEvery = 10000;

let source = null;
let poll = 0;
let polls = 0;
let silence = 0;
let paused = false;
let since = root?.dataset.since ?? '';
let last = new Date();
let said = wordsOf(root?.querySelector('[data-live="sentence"]')?.textContent ?? '');
let saidAt = 0;
let saying = 0;
let shape = null;

const banner = document.getElementById('live-banner');
const polling = document.getElementById('live-polling');
const topics = () => `topics=${encodeURIComponent(root.dataset.topics)}`;
const clock = (time) => time.toLocaleTimeString(document.documentElement.lang === 'de' ? 'de' : 'en-GB');

function show(text) {
  banner.textContent = text;
  banner.hidden = text === '';
}

// apply puts what changed into the page, and leaves what the reader opened open and what has the focus focused.
function apply(patch) {
  since = patch.id;
  last = new Date();
  if (patch.text?.shape !== undefined) {
    if (shape !== null && shape !== patch.text.shape) {
      location.reload(); // other models: another page
      return;
    }
    shape = patch.text.shape;
  }
  for (const [key, text] of Object.entries(patch.text ?? {})) {
    if (key === 'stale') {
      root.classList.toggle('stale', text !== '');
    }
    for (const el of root.querySelectorAll(`[data-live="${CSS.escape(key)}"]`)) {
      if (el.textContent !== text) {
        el.textContent = text;
      }
    }
  }
  for (const [key, html] of Object.entries(patch.html ?? {})) {
    if (key === 'state') {
      swapState(html);
    }
    for (const el of root.querySelectorAll(`[data-live="${CSS.escape(key)}"]`)) {
      swap(el, html);
    }
  }
  say();
}

const focusable = 'summary, a, button';

// swap puts new markup into an element. What the reader opened stays open, and the focus stays where it was.
function swap(el, html) {
  const open = new Map([...el.querySelectorAll('details[id]')].map((d) => [d.id, d.open]));
  const box = el.contains(document.activeElement) ? document.activeElement.closest('details[id]') : null;
  const at = box ? [...box.querySelectorAll(focusable)].indexOf(document.activeElement) : -1;
  const inner = box ? [...box.querySelectorAll('details')].map((d) => d.open) : [];
  el.innerHTML = html;
  for (const [id, isOpen] of open) {
    const d = document.getElementById(id);
    if (d) {
      d.open = isOpen;
    }
  }
  const now = box && document.getElementById(box.id);
  if (now) {
    [...now.querySelectorAll('details')].forEach((d, i) => {
      d.open = inner[i] ?? d.open;
    });
    [...now.querySelectorAll(focusable)][at]?.focus({ preventScroll: true });
  }
}

function swapState(html) {
  const old = document.getElementById('state');
  if (old) {
    const box = document.createElement('template');
    box.innerHTML = html;
    const next = box.content.firstElementChild;
    next.id = 'state';
    old.replaceWith(next);
  }
}

// wordsOf is a sentence without its numbers, which change all the time.
function wordsOf(text) {
  return text.replace(/[\d.,]+/g, '');
}

// say tells a screen reader the state when it changed, at most every ten seconds. Numbers are not told.
function say() {
  const now = wordsOf(root.querySelector('[data-live="sentence"]').textContent);
  if (now === said || saying) {
    return;
  }
  saying = setTimeout(() => {
    saying = 0;
    saidAt = Date.now();
    const text = root.querySelector('[data-live="sentence"]').textContent;
    said = wordsOf(text);
    document.getElementById('live-say').textContent = `${text} ${root.querySelector('[data-live="wanted"]').textContent}`;
  }, Math.max(0, saidAt + sayEvery - Date.now()));
}

function quiet() {
  clearTimeout(silence);
  silence = setTimeout(lost, silentAfter);
}

function live() {
  show('');
  root.classList.remove('cut');
}

function connect() {
  if (source || paused || document.hidden) {
    return;
  }
  source = new EventSource(`/events?${topics()}&since=${encodeURIComponent(since)}`);
  source.addEventListener('open', () => {
    stopPolling();
    live();
    quiet();
  });
  source.addEventListener('patch', (event) => {
    quiet();
    stopPolling();
    live();
    apply(JSON.parse(event.data));
  });
  source.addEventListener('error', lost);
}

function disconnect() {
  source?.close();
  source = null;
  clearTimeout(silence);
}

// lost asks at once whether the server is there at all: if it is, it had no stream to give.
function lost() {
  disconnect();
  if (!paused && !document.hidden && !poll) {
    ask();
  }
}

async function ask() {
  poll = setTimeout(ask, pollEvery);
  try {
    const answer = await fetch(`/events/now?${topics()}&since=${encodeURIComponent(since)}`, { signal: AbortSignal.timeout(pollEvery - 500), redirect: 'error' });
    if (!answer.ok) {
      throw new Error(answer.statusText);
    }
    const patch = await answer.json();
    if (!poll || paused) {
      return;
    }
    live();
    apply(patch);
    polls += 1;
    polling.hidden = polls < 2; // one alone is only the way back to a stream
    connect(); // there may be a stream again
  } catch {
    if (poll && !paused) {
      cut();
    }
  }
}

function cut() {
  polling.hidden = true;
  root.classList.add('stale', 'cut');
  show(root.dataset.lost.replace('{0}', clock(last)));
  const text = banner.textContent;
  if (document.getElementById('live-say').textContent !== text) {
    document.getElementById('live-say').textContent = text;
  }
}

function stopPolling() {
  clearTimeout(poll);
  poll = 0;
  polls = 0;
  polling.hidden = true;
  if (root.classList.contains('cut')) {
    root.classList.remove('stale', 'cut');
  }
}

function hold(on) {
  paused = on;
  const button = document.getElementById('live-pause');
  button.setAttribute('aria-pressed', String(on));
  button.textContent = on ? button.dataset.resume : button.dataset.pause;
  if (on) {
    disconnect();
    stopPolling();
    show(root.dataset.paused.replace('{0}', clock(last)));
    return;
  }
  show('');
  connect();
}

if (root) {
  document.getElementById('live-pause').addEventListener('click', () => hold(!paused));
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      disconnect();
      stopPolling();
    } else {
      connect();
    }
  });
  window.addEventListener('pagehide', () => {
    disconnect();
    stopPolling();
  });
  window.addEventListener('pageshow', connect);
  connect();
}
