// What every page moves: the summary of errors, dialogs, copying, and one sending of each form. Families import post and copy from here.

document.documentElement.classList.add('js');

// The summary of errors takes the focus, or else the message of what was done, so that a screen reader tells it and the keyboard goes on from there.
(document.getElementById('problems') ?? document.getElementById('flash'))?.focus();

document.addEventListener('click', (event) => {
  const opener = event.target.closest('[data-dialog]');
  if (opener) {
    const dialog = document.getElementById(opener.dataset.dialog);
    if (dialog instanceof HTMLDialogElement) {
      event.preventDefault();
      dialog.showModal();
    }
    return;
  }
  const closer = event.target.closest('[data-close]');
  if (closer) {
    event.preventDefault();
    closer.closest('dialog')?.close();
    return;
  }
  const copier = event.target.closest('[data-copy]');
  if (copier) {
    copy(copier);
  }
});

// A form is sent once, however often its button is pressed. A page that comes back from the browser's memory can send again.
document.addEventListener('submit', (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method === 'dialog') {
    return;
  }
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = 'yes';
  form.setAttribute('aria-busy', 'true');
});
window.addEventListener('pageshow', () => {
  for (const form of document.querySelectorAll('form[data-sent]')) {
    delete form.dataset.sent;
    form.removeAttribute('aria-busy');
  }
});

// copy puts the text of data-copy on the clipboard and shows that for a moment.
export async function copy(button) {
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.classList.add('done');
    setTimeout(() => button.classList.remove('done'), 1500);
  } catch {
    // Without the clipboard the text still stands beside the button.
  }
}

// post sends a form's fields with the token of this page, and gives the answer's Response.
export function post(url, fields, options = {}) {
  const body = fields instanceof FormData || fields instanceof URLSearchParams ? new URLSearchParams(fields) : new URLSearchParams(Object.entries(fields));
  const token = document.querySelector('meta[name="csrf"]').content;
  return fetch(url, { method: 'POST', body, headers: { 'X-CSRF-Token': token }, credentials: 'same-origin', ...options });
}

// later calls f once, ms after the last of several calls.
export function later(f, ms) {
  let timer;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => f(...args), ms);
  };
}
