// The search shows only the fields that what is looked for needs.
const form = document.querySelector('[data-users-find]');
if (form) {
  const show = () => {
    const by = form.elements.by.value;
    for (const field of form.querySelectorAll('[data-by]')) field.hidden = field.dataset.by !== by;
  };
  form.addEventListener('change', show);
  show();
}
