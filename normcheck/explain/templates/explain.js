"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const panels = [...document.querySelectorAll(".panel")].map((element, number) => ({
    element,
    stops: data[number],
    now: data[number][Number(element.querySelector("input")?.value ?? 0)],
    grid: element.querySelector(".grid"),
    cells: [...element.querySelectorAll(".cell")],
    detail: element.querySelector(".detail"),
  }));
  let pointed = null; // the place of the element that is pointed at

  const made = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };
  const figures = (set) => [`n = ${set.n}`, ...Object.entries(set.figures).map(([name, value]) => `${name} ${value}`)].join(", ");

  function show() {
    for (const panel of panels) {
      const { grid, cells, detail, now } = panel;
      grid.classList.toggle("pointing", pointed !== null);
      if (pointed === null) {
        detail.textContent = detail.dataset.empty;
        cells.forEach((cell) => cell.classList.remove("lit", "here"));
        continue;
      }
      const own = now.cells[pointed], set = now.sets[own];
      cells.forEach((cell, place) => {
        cell.classList.toggle("lit", now.cells[place] === own);
        cell.classList.toggle("here", place === pointed);
      });
      detail.replaceChildren(
        made("span", set.letter, `chip colour-${set.colour}`), ` ${set.members}`, made("span", figures(set), "figures"),
      );
    }
  }

  function label(panel) {
    panel.cells.forEach((cell, place) => {
      const set = panel.now.sets[panel.now.cells[place]];
      cell.className = `cell colour-${set.colour}`;
      cell.querySelector(".letter").textContent = set.letter;
      cell.setAttribute("aria-label", `${cell.dataset.what}; set ${set.letter}: ${set.members}; ${figures(set)}`);
    });
  }

  function choose(panel, stop) {
    panel.now = panel.stops[stop];
    const { element, now } = panel, input = element.querySelector("input");
    input.setAttribute("aria-valuetext", now.label);
    element.querySelector("output").textContent = now.label;
    element.querySelector(".words").textContent = now.words;
    element.querySelector(".formula").textContent = now.formula;
    element.querySelector(".code").textContent = now.code;
    element.querySelector(".sets tbody").replaceChildren(...now.sets.map((set) => {
      const row = made("tr"), head = made("th");
      head.scope = "row";
      head.append(made("span", set.letter, `chip colour-${set.colour}`));
      row.append(head, made("td", set.members), made("td", set.n, "number"),
        ...Object.values(set.figures).map((value) => made("td", value, "number")));
      return row;
    }));
    const rest = element.querySelector(".rest");
    rest.hidden = now.rest === 0;
    rest.textContent = `… and ${now.rest} more.`;
    label(panel);
    show();
  }

  function point(place) {
    pointed = place;
    show();
  }

  function move(panel, from, key) {
    const row = panel.cells[from].closest("tr"), rows = [...panel.grid.querySelectorAll("tbody tr")];
    const inRow = [...row.querySelectorAll(".cell")], column = inRow.indexOf(panel.cells[from]), line = rows.indexOf(row);
    const at = (l, c) => rows[l]?.querySelectorAll(".cell")[c];
    const steps = {
      ArrowRight: () => at(line, column + 1), ArrowLeft: () => at(line, column - 1),
      ArrowDown: () => at(line + 1, column), ArrowUp: () => at(line - 1, column),
      Home: () => at(line, 0), End: () => at(line, inRow.length - 1),
    };
    return steps[key]?.();
  }

  for (const panel of panels) {
    label(panel);
    panel.cells.forEach((cell, place) => {
      cell.addEventListener("pointerenter", () => point(place));
      cell.addEventListener("focus", () => {
        panel.cells.forEach((each) => { each.tabIndex = each === cell ? 0 : -1; });
        point(place);
      });
      cell.addEventListener("blur", () => point(null));
      cell.addEventListener("keydown", (event) => {
        if (event.key === "Escape") return cell.blur();
        const next = move(panel, place, event.key);
        if (next) {
          event.preventDefault();
          next.focus();
        }
        return undefined;
      });
    });
    panel.grid.addEventListener("pointerleave", () => {
      const focused = document.activeElement?.closest(".cell");
      point(focused ? Number(focused.dataset.place) : null);
    });
    panel.element.querySelector("input")?.addEventListener("input", (event) => choose(panel, Number(event.target.value)));
  }
})();
