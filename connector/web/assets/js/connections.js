// A pasted address fills the parts, so that a person sees what was understood; the server takes it apart again.
const paste = document.getElementById("paste");
if (paste) {
  const part = (id) => document.getElementById(id);
  paste.addEventListener("input", () => {
    const text = paste.value.trim();
    if (!/^postgres(ql)?:\/\//.test(text) || text.includes("${")) return;
    let url;
    try {
      url = new URL(text.replace(/^postgres(ql)?:/, "http:"));
      part("host").value = url.hostname.replace(/^\[|\]$/g, "");
      part("port").value = url.port || (/:80(\/|$)/.test(text) ? "80" : "");
      part("database").value = decodeURIComponent(url.pathname.slice(1));
      part("user").value = decodeURIComponent(url.username);
      const mode = url.searchParams.get("sslmode");
      if (mode && part("tls").querySelector(`option[value="${CSS.escape(mode)}"]`)) part("tls").value = mode;
    } catch { /* not finished yet */ }
  });
}

// A test takes seconds: say so, and keep the form from being sent twice.
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    form.setAttribute("aria-busy", "true");
    for (const button of form.querySelectorAll("button:not([type=button])")) {
      button.textContent = form.dataset.busy;
      setTimeout(() => { button.disabled = true; }, 0);
    }
  });
}
// The command beside the rows sends the one that is chosen.
const twin = document.querySelector(".for-one-twin .command");
for (const row of document.querySelectorAll("[data-twin]")) {
  row.addEventListener("change", () => {
    twin.querySelector("code").textContent = row.dataset.twin;
    twin.querySelector("[data-copy]").dataset.copy = row.dataset.twin;
  });
}
window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });

// The result of a test gets the focus, so that it is read out.
if (/^#(source|braze)-result$/.test(location.hash)) document.querySelector(location.hash)?.focus({ preventScroll: false });
