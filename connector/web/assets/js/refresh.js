// A part of a page that names where it comes from (data-poll) is asked for again while it does so and somebody looks. Where the keyboard is inside of it, a
// button is being pressed, or a form of it is being sent, it stays.

export function refresh(id) {
  const part = () => document.getElementById(id);
  let timer;
  const again = () => {
    clearTimeout(timer);
    const now = part();
    if (now?.dataset.poll) {
      timer = setTimeout(fetchPart, Number(now.dataset.every) || 2000);
    }
  };
  async function fetchPart() {
    const now = part();
    if (!now?.dataset.poll) {
      return;
    }
    if (document.hidden || now.contains(document.activeElement) || now.querySelector('form[data-sent], :active')) {
      again();
      return;
    }
    try {
      const answer = await fetch(now.dataset.poll, { credentials: 'same-origin', signal: AbortSignal.timeout(10000) });
      if (answer.ok && !answer.redirected) {
        const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
        const next = page.getElementById(id);
        if (next) {
          now.replaceWith(document.importNode(next, true));
        }
      }
    } catch {
      // The next time may do.
    }
    again();
  }
  document.addEventListener('visibilitychange', () => document.hidden || fetchPart());
  again();
}
