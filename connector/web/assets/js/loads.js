// Loads: the figures of those under way come anew, and a form shows only what belongs to the choice.
import { refresh } from './refresh.js';

refresh('loads');

for (const form of document.querySelectorAll('form')) {
  const parts = form.querySelectorAll('[data-for]');
  if (!parts.length) {
    continue;
  }
  const show = () => {
    const chosen = form.querySelector('input[name="what"]:checked, input[name="preset"]:checked')?.value;
    for (const part of parts) {
      part.classList.toggle('off', !part.dataset.for.split(' ').includes(chosen));
    }
  };
  form.addEventListener('change', show);
  show();
}
