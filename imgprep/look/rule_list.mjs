// Rules to choose from, grouped by severity, with their counts. Python owns the state; strings are set only as text.

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function entry(name, label, count, chosen) {
  const made = element("button", "ipc-rule");
  made.type = "button";
  made.dataset.rule = name;
  made.setAttribute("aria-pressed", String(chosen));
  made.append(element("bdi", "", label), element("span", "ipc-count", count.toLocaleString("en")));
  return made;
}

function render({ model, el }) {
  const root = element("div", "ipc-rules");
  root.dataset.lmSuppressShortcuts = "true";

  function draw() {
    const [groups, value] = [model.get("groups"), model.get("value")];
    const total = groups.reduce((sum, group) => sum + group.count, 0);
    const focused = root.contains(root.getRootNode().activeElement);
    root.replaceChildren(entry("", model.get("every"), total, value === ""));
    for (const { severity, label, count, rules } of groups) {
      const group = element("div", "ipc-group");
      group.dataset.severity = severity;
      const head = element("div", "ipc-group-head", label);
      head.append(element("span", "ipc-count", count.toLocaleString("en")));
      group.append(head, ...rules.map(([rule, number, what, shown]) => {
        const made = entry(rule, shown, number, value === rule);
        made.title = what;
        return made;
      }));
      root.append(group);
    }
    if (focused) root.querySelector('[aria-pressed="true"]')?.focus();
  }
  function clicked(event) {
    const rule = event.target.closest(".ipc-rule")?.dataset.rule;
    if (rule === undefined) return;
    model.set("value", rule);
    model.save_changes();
  }
  root.addEventListener("click", clicked);
  model.on("change:groups", draw);
  model.on("change:value", draw);
  el.append(root);
  draw();
  return () => {
    model.off("change:groups", draw);
    model.off("change:value", draw);
    root.remove();
  };
}

export default { render };
