// Held back: a job's figures come anew, and one tick chooses all of a page.
import { refresh } from './refresh.js';

refresh('job');

for (const all of document.querySelectorAll('[data-tick-all]')) {
  const ticks = all.closest('form').querySelectorAll('[data-tick]');
  all.addEventListener('change', () => {
    for (const tick of ticks) {
      tick.checked = all.checked;
    }
  });
}
